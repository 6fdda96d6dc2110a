"""The page's plotly figures, each made from values alone together with the table behind it."""
