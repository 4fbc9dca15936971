"""JupyterLab with two people: real server process, real browsers, real keys."""
