"""Play in a browser: a page that shows a session of this machine, and pages that dream by themselves."""
