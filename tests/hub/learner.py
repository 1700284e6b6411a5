"""A learner without a browser: logs in as a person does, and speaks to the server and its kernels."""

import json
import uuid
from urllib.parse import urlsplit

import requests
import websocket

from tests.hub.classroom import COURSE, PATIENCE, wait_for

SLUG = "02_attention"


class Refused(Exception):
    """The server answered with an error."""


class Learner:
    """One person's session with the hub and with the server it started."""

    def __init__(self, room, name):
        self.room, self.name = room, name
        self.session = requests.Session()
        self.base = f"{room.address}/user/{name}/"

    def login(self):
        address = f"{self.room.address}/hub/login"
        self.session.get(address, timeout=PATIENCE).raise_for_status()
        form = {"username": self.name, "password": self.room.passwords[self.name], "_xsrf": self._xsrf("/hub/")}
        answer = self.session.post(address, data=form, allow_redirects=False, timeout=PATIENCE)
        if answer.status_code != 302:
            raise Refused(f"login of {self.name}: {answer.status_code}")
        return self

    def sign_up(self, word):
        """Ask for an account of the hub's own."""
        address = f"{self.room.address}/hub/signup"
        self.session.get(address, timeout=PATIENCE).raise_for_status()
        words = dict.fromkeys(("signup_password", "signup_password_confirmation"), word)
        form = {"username": self.name, "_xsrf": self._xsrf("/hub/")} | words
        self.session.post(address, data=form, timeout=PATIENCE).raise_for_status()

    def start_server(self):
        """Ask for the server, and wait until it answers."""
        self.session.get(f"{self.room.address}/hub/spawn", timeout=PATIENCE)
        wait_for(self._ready, f"the server of {self.name}")
        return self

    def _ready(self):
        # A page, not the API: only pages lead through the hub's login.
        answer = self.session.get(f"{self.base}lab", timeout=PATIENCE)
        return answer.status_code == 200 and "jupyter-config-data" in answer.text

    def call(self, method, path, body=None):
        """A request to the learner's server; its answer's text. Raises Refused."""
        headers = {"X-XSRFToken": self._xsrf(urlsplit(self.base).path)}
        answer = self.session.request(method, self.base + path, json=body, headers=headers, timeout=PATIENCE)
        if not answer.ok:
            raise Refused(f"{method} {path} for {self.name}: {answer.status_code} {answer.text[:300]}")
        return answer.text

    def home(self):
        return self.call("GET", "coursekit/home")

    def act(self, action):
        """Fetch or submit by the home page; the page that comes back."""
        return self.call("POST", "coursekit/home", {"action": action, "chapter": SLUG})

    def notebook(self):
        return json.loads(self.call("GET", f"api/contents/{SLUG}/{SLUG}.ipynb"))["content"]

    def save(self, notebook):
        self.call("PUT", f"api/contents/{SLUG}/{SLUG}.ipynb", {"type": "notebook", "content": notebook})

    def kernel(self, kind="python3"):
        return Kernel(self, json.loads(self.call("POST", "api/kernels", {"name": kind}))["id"])

    def cookies(self, path):
        """The cookies that a browser would send to this path."""
        fitting = [c for c in self.session.cookies if path.startswith(c.path)]
        fitting.sort(key=lambda c: len(c.path))
        return {c.name: c.value for c in fitting}

    def _xsrf(self, path):
        return self.cookies(path).get("_xsrf", "")


class Kernel:
    """A running kernel, through the server's own websocket."""

    def __init__(self, learner, id):
        self.learner, self.id, self.socket = learner, id, None
        self.connect()

    def connect(self):
        path = f"{urlsplit(self.learner.base).path}api/kernels/{self.id}/channels"
        cookies = self.learner.cookies(path)
        address = self.learner.room.address.replace("http", "ws", 1)
        pairs = "; ".join(f"{name}={value}" for name, value in cookies.items())
        self.socket = websocket.create_connection(
            f"{address}{path}?_xsrf={cookies.get('_xsrf', '')}",
            cookie=pairs,
            origin=self.learner.room.address,
            timeout=PATIENCE,
        )
        return self

    def execute(self, code):
        """What the code prints, shows or raises, when it is done."""
        number, said = uuid.uuid4().hex, []
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
        header = {"msg_id": number, "msg_type": "execute_request", "username": "", "session": number, "version": "5.3"}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        self.socket.send(json.dumps(message | {"buffers": []}))
        while True:
            got = self.socket.recv()
            if not isinstance(got, str):  # with binary buffers: a widget's
                continue
            got = json.loads(got)
            kind, content = got["msg_type"], got["content"]
            if kind == "status" and content["execution_state"] in ("restarting", "dead"):
                raise Died(f"the kernel is {content['execution_state']}")
            if got["parent_header"].get("msg_id") != number:
                continue
            said += [content.get("text", "")] if kind == "stream" else content.get("traceback", [])
            said += [str(content["data"].get("text/plain", ""))] if "data" in content else []
            if kind == "status" and content["execution_state"] == "idle":
                return "\n".join(said)

    def delete(self):
        self.socket.close()
        self.learner.call("DELETE", f"api/kernels/{self.id}")


class Died(Exception):
    """The kernel is dead or being restarted."""


def released(room):
    """Generate and release the chapter, with nbgrader's commands."""
    for command in ("generate_assignment", "release_assignment"):
        room.nbgrader(command, SLUG, f"--course={COURSE}")
