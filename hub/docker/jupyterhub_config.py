"""The same class with a container for each learner: what differs from hub/jupyterhub_config.py.

Learners log in with accounts of the hub's own (sign up, then an instructor lets them in), since a container knows no
system users. Each container runs under a user id of its own, sees its home and the exchange, and nothing else.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

from jupyterhub.handlers.login import LoginHandler
from nativeauthenticator import NativeAuthenticator

from hub import settings
from hub.accounts import first_passwords
from hub.owners import uid_of

c = get_config()
load_subconfig(str(Path(__file__).parents[1] / "jupyterhub_config.py"))
the = settings.read(Path(os.environ["COURSEKIT_CLASS"]))
people = (*the.instructors, *the.usernames)
register = the.places.exchange.parent / "owners.json"


class ClassAuthenticator(NativeAuthenticator):
    """Only names of the class have accounts, and instructors from the beginning: who signs up as one would be one."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        missing = [name for name in sorted(self.admin_users) if not self.user_exists(name)]
        for name, word in first_passwords(missing, the.places.state).items():
            self.create_user(name, word)

    def create_user(self, username, password, **more):
        """An account, but for no name that is not in the class."""
        return super().create_user(username, password, **more) if username in people else None

    def check_allowed(self, username, authentication=None):
        """Whom an instructor has let in, for as long as they are in the class; never the course account."""
        return username in people

    def get_handlers(self, app):
        """The hub's own login page: NativeAuthenticator's reports to statsd, which JupyterHub 6 no longer has."""
        return [(path, LoginHandler if path == "/login" else page) for path, page in super().get_handlers(app)]


c.JupyterHub.authenticator_class = ClassAuthenticator
c.Authenticator.allowed_users = set()  # the authenticator would let in at once who signs up under such a name
c.Authenticator.any_allow_config = True  # check_allowed, above
c.NativeAuthenticator.minimum_password_length = 10
c.NativeAuthenticator.check_common_password = True
c.NativeAuthenticator.open_signup = False
c.Authenticator.admin_users = set(the.instructors)  # who let learners in
c.JupyterHub.template_vars = {
    "announcement_login": 'New here? <a href="signup">Sign up</a>, and log in when your instructor has let you in.',
}

# Containers reach it by its host's name on the network below, which nobody else is on.
address = urlsplit(the.address)
c.JupyterHub.bind_url = address._replace(netloc=f"0.0.0.0:{address.port}" if address.port else "0.0.0.0").geturl()
c.JupyterHub.hub_ip = "0.0.0.0"

c.JupyterHub.spawner_class = "dockerspawner.DockerSpawner"
c.DockerSpawner.image = "coursekit-learner:latest"
c.DockerSpawner.network_name = "coursekit"
c.DockerSpawner.use_internal_ip = True
c.DockerSpawner.remove = True
c.DockerSpawner.notebook_dir = "/home/learner"
c.DockerSpawner.cmd = ["python", "-P", "-m", "jupyterhub.singleuser"]
c.DockerSpawner.mem_limit = the.limits.memory
c.DockerSpawner.cpu_limit = the.limits.cpus
c.DockerSpawner.volumes = {
    "coursekit-home-{username}": "/home/learner",
    "coursekit-exchange": str(the.places.exchange),
}
c.DockerSpawner.environment = {
    "HOME": "/home/learner",
    "OMP_NUM_THREADS": "1",
    "JUPYTER_CONFIG_PATH": "/opt/coursekit/etc/learner",
    "NBGRADER_EXCHANGE": str(the.places.exchange),
    "NBGRADER_COURSE": the.course,
}
c.DockerSpawner.extra_host_config = {
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "pids_limit": the.limits.processes,
}
# Kernels are forked from a parent in each container: one that all share would have to reach into all of them.
c.JupyterHub.services = [service for service in c.JupyterHub.services if service["name"] != "warm-kernels"]


def own_user(spawner):
    """The learner's number, and its name inside the container, for nbgrader."""
    uid = uid_of(spawner.user.name, register)
    spawner.extra_create_kwargs = {"user": f"{uid}:{uid}"}
    spawner.environment = spawner.environment | {"LEARNER": spawner.user.name}


c.Spawner.pre_spawn_hook = own_user
