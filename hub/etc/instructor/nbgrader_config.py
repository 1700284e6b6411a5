"""nbgrader's settings in the course account's server, on top of the course's own nbgrader_config.py."""

c = get_config()
c.Authenticator.plugin_class = "nbgrader.auth.JupyterHubAuthPlugin"
c.ExchangeFactory.collect = "grader.exchange.OwnedCollect"
c.NbGrader.logfile = ""
