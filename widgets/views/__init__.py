"""The page's views: each one Python class with its own JavaScript and CSS."""
