"""One HTML file about one run, that needs no network."""
