"""The documentation holds: what it shows is run, what it links to is there, what it generates is current."""
