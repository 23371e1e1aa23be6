"""The handlers of the registry's API, a module for each noun; each makes its routes for one `Office`."""
