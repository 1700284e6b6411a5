"""nbgrader's settings for the course account, on top of the course's own nbgrader_config.py."""

import os
from pathlib import Path

c = get_config()
c.ExchangeFactory.collect = "grader.plugins.exchange.OwnedCollect"
c.NbGrader.logfile = ""
# Where learners have containers, the hub notes here which user id is whose.
owners = Path(os.environ["NBGRADER_EXCHANGE"]).parent / "owners.json"
c.OwnedCollect.owners = str(owners) if owners.exists() else ""
# In its server it asks the hub who is in the course; `python -m hub nbgrader` works while no hub runs.
if os.environ.get("JUPYTERHUB_API_TOKEN"):
    c.Authenticator.plugin_class = "nbgrader.auth.JupyterHubAuthPlugin"
