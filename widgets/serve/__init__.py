"""The site: Voila behind our own doors, and the kernel that a visitor gets. Imports nothing of the page."""
