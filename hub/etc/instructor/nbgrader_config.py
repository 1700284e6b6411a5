"""nbgrader's settings for the course account, on top of the course's own nbgrader_config.py."""

import os

c = get_config()
c.ExchangeFactory.collect = "grader.exchange.OwnedCollect"
c.NbGrader.logfile = ""
# In its server it asks the hub who is in the course; `python -m hub nbgrader` works while no hub runs.
if os.environ.get("JUPYTERHUB_API_TOKEN"):
    c.Authenticator.plugin_class = "nbgrader.auth.JupyterHubAuthPlugin"
