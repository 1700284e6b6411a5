"""JupyterHub for one class on one machine. Everything an instructor chooses stands in class.toml (see settings.py)."""

import os
import sys
from pathlib import Path

from hub import settings
from hub.links import ToFormgrader
from hub.spawner import LearnerSpawner
from kernelkit import warm

c = get_config()  # type: ignore[name-defined] # traitlets runs this file with it
the = settings.read(Path(os.environ["COURSEKIT_CLASS"]))
places, bounds = the.places, the.limits
python = str(places.python)
system_path = "/usr/local/bin:/usr/bin:/bin"

# Where it listens, and where it keeps what must survive a restart.
c.JupyterHub.bind_url = the.address
c.JupyterHub.ssl_cert, c.JupyterHub.ssl_key = the.certificate, the.key
c.JupyterHub.subdomain_host = the.subdomains
c.JupyterHub.hub_port = the.hub_port
c.JupyterHub.db_url = f"sqlite:///{places.state}/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = f"{places.state}/cookie_secret"
# In a folder that a restart of the machine empties: the hub ends whatever process has the number that it finds there.
c.JupyterHub.pid_file = f"{places.run}/hub.pid"
c.ConfigurableHTTPProxy.pid_file = f"{places.run}/proxy.pid"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{the.proxy_port}"
c.ConfigurableHTTPProxy.command = [str(places.prefix / "proxy/node_modules/.bin/configurable-http-proxy")]
# Learners work on while the hub is restarted.
c.JupyterHub.cleanup_servers = False

# Who may log in: system users with their system passwords, and of these only the class.
c.JupyterHub.authenticator_class = "pam"
c.PAMAuthenticator.open_sessions = False
# The course account is a user to nbgrader, which asks for its courses. It has no password: nobody logs in as it.
c.Authenticator.allowed_users = {*the.instructors, *the.usernames, the.account}
c.Authenticator.allow_existing_users = False  # who is taken from the class cannot log in again
c.Authenticator.admin_users = set()
c.JupyterHub.load_groups = {
    # nbgrader knows learners and instructors of a course by these names.
    f"nbgrader-{the.course}": {"users": list(the.usernames)},
    f"formgrade-{the.course}": {"users": [*the.instructors, the.account]},
}

# A learner's server.
c.JupyterHub.spawner_class = LearnerSpawner
c.Spawner.cmd = [python, "-P", "-m", "jupyterhub.singleuser"]
c.Spawner.default_url = "/lab"
c.Spawner.mem_limit = bounds.memory
c.LearnerSpawner.processes, c.LearnerSpawner.cpus = bounds.processes, bounds.cpus
c.LearnerSpawner.run = str(places.run)
c.Spawner.env_keep = ["LANG", "LC_ALL", "TZ"]
# One thread a kernel: with as many learners as cores and more, further threads only get in each other's way.
shared = {"OMP_NUM_THREADS": "1"}
c.Spawner.environment = shared | {
    "PATH": f"{places.prefix}/env/bin:{system_path}",
    "JUPYTER_CONFIG_PATH": f"{places.prefix}/etc/learner",
    "NBGRADER_EXCHANGE": str(places.exchange),
    "NBGRADER_COURSE": the.course,
    warm.MACHINE: str(places.run / "warm"),
}
c.Spawner.http_timeout = c.Spawner.start_timeout = 120
c.JupyterHub.concurrent_spawn_limit = 20

# What a server's token may do: nbgrader asks which courses its user is in.
c.Spawner.server_token_scopes = [
    "users:activity!user",
    "access:servers!server",
    "read:users:name!user",
    "read:users:groups!user",
]
c.JupyterHub.load_roles = [
    {
        "name": "instructor",
        "description": "Grades, and helps where a learner's server hangs; does not look into it.",
        "groups": [f"formgrade-{the.course}"],
        "scopes": [
            f"access:services!service={the.course}",
            f"read:services!service={the.course}",
            "admin-ui",
            f"list:users!group=nbgrader-{the.course}",
            f"read:users:activity!group=nbgrader-{the.course}",
            f"servers!group=nbgrader-{the.course}",
        ],
    },
    {
        "name": "formgrader",
        "description": "nbgrader enters learners in the course's group.",
        "services": [the.course],
        "scopes": ["list:groups", f"groups!group=nbgrader-{the.course}", "read:users:name", "read:users:groups"],
    },
    {
        "name": "idle-culler",
        "services": ["idle-culler"],
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
    },
]

c.JupyterHub.extra_handlers = [(r"/(tree|notebooks|edit)/(.*)", ToFormgrader, {"service": the.course})]

# Services end with the hub, even with one that is killed: a port or a gradebook is never held by an old one.
leash = ["setpriv", "--pdeathsig", "TERM"]
# Only root, or who is given this, can take a port below 1024: no learner's program can stand there in its place.
as_account = [*leash, f"--reuid={the.account}", f"--regid={the.account}", "--init-groups"]
as_account += ["--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service"]
c.JupyterHub.services = [
    {
        # Formgrader in a tab of its own: the hub forbids frames.
        "name": the.course,
        "oauth_no_confirm": True,  # it is the hub's own; only instructors get further
        "url": f"http://127.0.0.1:{the.formgrader_port}",
        "cwd": str(places.course),
        "command": [*as_account, python, "-P", "-m", "jupyterhub.singleuser"],
        "environment": {
            "HOME": str(places.course.parent / "home"),
            "USER": the.account,
            "PATH": f"{places.prefix}/env/bin:{system_path}",
            "PYTHONPATH": f"{places.prefix}/instructor",
            "JUPYTER_CONFIG_PATH": f"{places.prefix}/etc/instructor",
            "JUPYTERHUB_DEFAULT_URL": "/formgrader",
            "JUPYTERHUB_USER": the.account,
            "NBGRADER_EXCHANGE": str(places.exchange),
            "NBGRADER_COURSE": the.course,
            "OMP_NUM_THREADS": "1",
        },
    },
    {
        "name": "idle-culler",
        "command": [
            *(*leash, sys.executable, "-P", "-m", "jupyterhub_idle_culler"),
            f"--timeout={bounds.idle}",
            f"--cull-every={max(10, bounds.idle // 4)}",
        ],
    },
    {
        # env -i: a kernel could read what its parent was started with.
        "name": "warm-kernels",
        "command": [
            *(*leash, "env", "-i", f"PATH={system_path}", "LANG=C.UTF-8"),
            *(f"{name}={value}" for name, value in shared.items()),
            *(f"PYTHONPATH={places.prefix}", python, "-P", "-m", "hub.warm", str(places.run / "warm"), the.group),
            *(str(bounds.memory), str(bounds.processes), str(bounds.cpus)),
        ],
    },
]
