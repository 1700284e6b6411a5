"""The configurations that need an engine or a cluster: every name in them exists in the spawner that reads them."""

import asyncio
import json
import subprocess
from types import SimpleNamespace

import jsonschema
import pytest
import yaml

from hub.owners import uid_of
from tests.hub.classroom import ROOT, WORD

pytest.importorskip("jupyterhub", reason="`make hub-setup`")
pytest.importorskip("dockerspawner", reason="`make hub-setup`")


@pytest.fixture
def class_file(tmp_path):
    """A class whose folders lie in a scratch folder."""
    places = {n: tmp_path / n for n in ("prefix", "course", "exchange", "state", "run", "homes")}
    lines = ['instructors = ["prof"]', 'roster = "roster.csv"', "[places]"]
    lines += [f'{name} = "{path}"' for name, path in places.items()]
    (tmp_path / "class.toml").write_text("\n".join(lines))
    (tmp_path / "roster.csv").write_text("username,first_name,last_name,email\nada,Ada,Lovelace,a@example.org\n")
    return tmp_path / "class.toml"


def load(path, class_file, monkeypatch):
    """The configuration as JupyterHub would read it."""
    from traitlets.config.loader import PyFileConfigLoader

    monkeypatch.setenv("COURSEKIT_CLASS", str(class_file))
    return PyFileConfigLoader(path.name, path=str(path.parent)).load_config()


def unknown(config, classes):
    """Names in the configuration that no class has as a configurable trait."""
    found = {
        cls.__name__: cls.class_trait_names(config=True)
        for kind in classes
        for cls in kind.__mro__
        if hasattr(cls, "class_trait_names")
    }
    return [
        f"{name}.{trait}" for name, section in config.items() for trait in section if trait not in found.get(name, ())
    ]


def classes():
    from dockerspawner import DockerSpawner
    from jupyterhub.app import JupyterHub
    from jupyterhub.auth import PAMAuthenticator
    from jupyterhub.proxy import ConfigurableHTTPProxy
    from nativeauthenticator import NativeAuthenticator

    from hub.spawner import LearnerSpawner

    return [JupyterHub, PAMAuthenticator, NativeAuthenticator, ConfigurableHTTPProxy, LearnerSpawner, DockerSpawner]


@pytest.mark.parametrize("path", ["jupyterhub_config.py", "docker/jupyterhub_config.py"])
def test_every_setting_exists(path, class_file, monkeypatch):
    config = load(ROOT / "hub" / path, class_file, monkeypatch)
    assert unknown(config, classes()) == []


def test_a_setting_that_does_not_exist_would_be_found(class_file, monkeypatch):
    config = load(ROOT / "hub" / "jupyterhub_config.py", class_file, monkeypatch)
    config.LearnerSpawner.procesess = 3
    assert unknown(config, classes()) == ["LearnerSpawner.procesess"]


def test_scopes_are_ones_that_jupyterhub_knows(class_file, monkeypatch):
    from jupyterhub.scopes import scope_definitions

    config = load(ROOT / "hub" / "jupyterhub_config.py", class_file, monkeypatch)
    roles = [*config.JupyterHub.load_roles, {"scopes": config.Spawner.server_token_scopes}]
    roles += kubernetes()["hub"]["loadRoles"].values()
    named = {scope.split("!")[0] for role in roles for scope in role["scopes"]}
    assert named <= set(scope_definitions)


def test_containers_get_a_user_of_their_own_and_no_shared_parent(class_file, monkeypatch):
    from dockerspawner import DockerSpawner

    config = load(ROOT / "hub" / "docker" / "jupyterhub_config.py", class_file, monkeypatch)
    (class_file.parent / "exchange").mkdir()
    spawners = []
    for name in ("ada", "ben", "ada"):
        spawner = DockerSpawner(config=config, user=SimpleNamespace(name=name, id=1, url="/", settings={}))
        config.Spawner.pre_spawn_hook(spawner)
        spawners.append(spawner.extra_create_kwargs["user"])
    assert spawners[0] == spawners[2] != spawners[1]
    assert "warm-kernels" not in [service["name"] for service in config.JupyterHub.services]


@pytest.fixture
def session():
    """The hub's database."""
    from jupyterhub.orm import new_session_factory

    return new_session_factory("sqlite:///:memory:")()


def accounts(config, session, *approved):
    """The authenticator of a configuration, with the accounts of people whom an instructor has let in."""
    from nativeauthenticator.orm import UserInfo

    authenticator = config.JupyterHub.authenticator_class(config=config, db=session)
    for name in approved:
        authenticator.create_user(name, WORD)
        if authenticator.user_exists(name):
            UserInfo.change_authorization(session, name)
    return authenticator


def logs_in(authenticator, name, word=WORD):
    data = {"username": name, "password": word}
    return bool(asyncio.run(authenticator.get_authenticated_user(None, data)))


def test_containers_let_in_the_class_and_nobody_else(class_file, session, monkeypatch):
    config = load(ROOT / "hub" / "docker" / "jupyterhub_config.py", class_file, monkeypatch)
    (class_file.parent / "state").mkdir()
    account = "grader-large-models"
    authenticator = accounts(config, session, "ada", account, "stranger")
    assert [logs_in(authenticator, name) for name in ("ada", account, "stranger")] == [True, False, False]
    assert not authenticator.user_exists("stranger"), "who is not in the class cannot sign up"
    [made] = (class_file.parent / "state" / "passwords.csv").read_text().split()
    name, word = made.split(",")
    assert name == "prof"
    authenticator.create_user("prof", WORD)  # signing up under a name that has an account
    assert not logs_in(authenticator, "prof")
    assert logs_in(authenticator, "prof", word)


def test_containers_shut_out_who_is_taken_from_the_class(class_file, session, monkeypatch):
    path = ROOT / "hub" / "docker" / "jupyterhub_config.py"
    (class_file.parent / "state").mkdir()
    assert logs_in(accounts(load(path, class_file, monkeypatch), session, "ada"), "ada")
    (class_file.parent / "roster.csv").write_text("username,first_name,last_name,email\n")
    authenticator = accounts(load(path, class_file, monkeypatch), session)
    assert authenticator.user_exists("ada"), "the account is still there"
    assert not logs_in(authenticator, "ada")


def test_a_user_id_is_never_given_twice(tmp_path):
    register = tmp_path / "owners.json"
    ids = [uid_of(name, register) for name in ("ada", "ben", "eve", "ben")]
    assert len({*ids}) == 3
    assert ids[1] == ids[3]
    assert json.loads(register.read_text())[str(ids[2])] == "eve"


# What the chart's schema (values.schema.yaml, chart for JupyterHub 5.4.5) allows where the values set something:
# each name, and what may stand there. Everywhere here it forbids other names.
OBJECT, ARRAY, STRING, NUMBER, INTEGER, BOOLEAN = "object", "array", "string", "number", "integer", "boolean"
VOLUMES = {"extraVolumes": ARRAY, "extraVolumeMounts": ARRAY}
SWITCH = {"enabled": BOOLEAN}
SCHEMA = {
    "hub": {"config": OBJECT, "loadRoles": OBJECT, "extraConfig": OBJECT, **VOLUMES},
    "proxy": {"https": {**SWITCH, "hosts": ARRAY, "letsencrypt": {"contactEmail": STRING, "acmeServer": STRING}}},
    "singleuser": {
        "image": {"name": STRING, "tag": STRING, "pullPolicy": STRING, "pullSecrets": ARRAY},
        "cmd": [ARRAY, STRING, "null"],
        "defaultUrl": STRING,
        "startTimeout": INTEGER,
        "memory": {"limit": [NUMBER, STRING], "guarantee": [NUMBER, STRING]},
        "cpu": {"limit": NUMBER, "guarantee": NUMBER},
        "extraEnv": [OBJECT, ARRAY],
        "storage": {"type": STRING, "capacity": STRING, "homeMountPath": STRING, **VOLUMES},
        "cloudMetadata": {"blockWithIptables": BOOLEAN, "ip": STRING},
        "networkPolicy": SWITCH,
    },
    "cull": {**SWITCH, "timeout": INTEGER, "every": INTEGER, "maxAge": INTEGER, "concurrency": INTEGER},
    "prePuller": {"hook": SWITCH, "continuous": SWITCH},
    "scheduling": {"userScheduler": SWITCH, "userPlaceholder": {**SWITCH, "replicas": INTEGER}},
}
# What the chart's singleuser values become, in its own jupyterhub_config.py.
CHART = {
    ("memory", "limit"): "mem_limit",
    ("memory", "guarantee"): "mem_guarantee",
    ("cpu", "limit"): "cpu_limit",
    ("cpu", "guarantee"): "cpu_guarantee",
    ("cmd",): "cmd",
    ("defaultUrl",): "default_url",
    ("startTimeout",): "start_timeout",
    ("extraEnv",): "environment",
    ("storage", "capacity"): "storage_capacity",
    ("storage", "extraVolumes"): "volumes",
    ("storage", "extraVolumeMounts"): "volume_mounts",
}


@pytest.fixture
def kube_spawner(tmp_path, monkeypatch):
    """Makes a spawner, with the address of a cluster that nobody asks."""
    file = tmp_path / "kubeconfig"
    cluster = {"name": "none", "cluster": {"server": "https://127.0.0.1:1"}}
    context = {"name": "none", "context": {"cluster": "none", "user": "none"}}
    users = [{"name": "none", "user": {}}]
    content = {"clusters": [cluster], "contexts": [context], "users": users, "current-context": "none"}
    file.write_text(yaml.safe_dump(content))
    from kubernetes_asyncio.config import kube_config

    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(file))
    from kubespawner import KubeSpawner

    async def made(**given):
        return KubeSpawner(_mock=True, **given)

    return lambda **given: asyncio.run(made(**given))


def kubernetes():
    return yaml.safe_load((ROOT / "hub/kubernetes/values.yaml").read_text())


def schema(allowed):
    """The JSON schema of a tree of names and types."""
    if not isinstance(allowed, dict):
        return {"type": allowed}
    parts = {name: schema(part) for name, part in allowed.items()}
    return {"type": OBJECT, "properties": parts, "additionalProperties": False}


def test_the_values_for_kubernetes_are_ones_that_the_chart_takes():
    jsonschema.validate(kubernetes(), schema(SCHEMA))


@pytest.mark.parametrize("wrong", [{"singleuser": {"memroy": {}}}, {"cull": {"every": "600"}}, {"jupyterhub": {}}])
def test_values_that_the_chart_refuses_would_be_found(wrong):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema(SCHEMA))


def kubernetes_config(folder):
    """The configuration that the extra Python in the values makes, with `folder` in place of the shared storage."""
    from traitlets.config import Config

    c = Config()
    for _, code in sorted(kubernetes()["hub"]["extraConfig"].items()):
        exec(code.replace("/srv/coursekit", str(folder)), {"c": c})
    return c


def test_kubernetes_lets_in_whom_the_instructor_has_let_in(tmp_path, session):
    from jupyterhub.handlers.login import LoginHandler
    from traitlets.config import Config

    config = kubernetes_config(tmp_path)
    config.merge(Config(kubernetes()["hub"]["config"]))
    authenticator = accounts(config, session, "ada")
    authenticator.create_user("ben", WORD)
    assert [logs_in(authenticator, name) for name in ("ada", "ben")] == [True, False]
    assert dict(authenticator.get_handlers(None))["/login"] is LoginHandler


def test_the_values_for_kubernetes_are_ones_that_its_spawner_takes(kube_spawner):
    values = kubernetes()
    given = {}
    for path, trait in CHART.items():
        value = values["singleuser"]
        for part in path:
            value = value[part]
        given[trait] = value
    spawner = kube_spawner(**given)
    assert spawner.mem_limit == 4 << 30
    assert spawner.volume_mounts[0]["name"] == spawner.volumes[0]["name"]


def test_the_hook_for_kubernetes_gives_each_learner_a_number(tmp_path, kube_spawner):
    c = kubernetes_config(tmp_path)
    spawners = []
    for name in ("ada", "ben", "ada"):
        spawner = kube_spawner(user=SimpleNamespace(name=name, id=1, url="/", settings={}))
        c.Spawner.pre_spawn_hook(spawner)
        spawners.append(spawner.uid)
    assert spawners[0] == spawners[2] != spawners[1]


def test_the_shell_script_of_the_image_is_one():
    subprocess.run(["sh", "-n", ROOT / "hub/docker/start.sh"], check=True)


def test_the_compose_file_names_the_images_that_the_dockerfile_makes():
    compose = yaml.safe_load((ROOT / "hub/docker/compose.yaml").read_text())
    stages = [
        line.split()[-1]
        for line in (ROOT / "hub/docker/Dockerfile").read_text().splitlines()
        if line.startswith("FROM")
    ]
    assert {service["build"]["target"] for service in compose["services"].values()} <= set(stages)
