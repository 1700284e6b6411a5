// The browser's half of the home page: it shows what the server renders, and turns its buttons into commands.
(() => {
  const config = JSON.parse(document.getElementById("jupyter-config-data").textContent);
  const address = `${config.baseUrl}coursekit/home`;

  function cookie(name) {
    const found = document.cookie.split("; ").find(pair => pair.startsWith(`${name}=`));
    return found ? found.slice(name.length + 1) : "";
  }

  async function ask(query, body) {
    const options = { headers: { "X-XSRFToken": cookie("_xsrf") }, credentials: "same-origin" };
    if (body) {
      Object.assign(options, { method: "POST", body: JSON.stringify(body) });
    }
    const answer = await fetch(address + query, options);
    const text = await answer.text();
    if (!answer.ok) {
      const reason = (text.match(/"message": "([^"]*)"/) || [])[1] || answer.statusText;
      throw new Error(`The server answered ${answer.status}: ${reason}`);
    }
    return text;
  }

  function activate(app, palette, Widget) {
    const widget = new Widget();
    widget.id = "coursekit-home";
    widget.title.label = "Home";
    widget.title.closable = false;
    widget.node.classList.add("ck-home");
    widget.node.tabIndex = 0;

    async function show(text) {
      try {
        widget.node.innerHTML = await text;
      } catch (error) {
        const said = document.createElement("p");
        said.className = "message wrong";
        said.textContent = `${error.message} Reload the page to try again.`;
        widget.node.prepend(said);
      }
      widget.node.scrollTop = 0;
    }

    const actions = {
      reload: () => show(ask("")),
      fetch: chapter => show(ask("", { action: "fetch", chapter })),
      submit: chapter => show(ask("", { action: "submit", chapter })),
      open: path => app.commands.execute("docmanager:open", { path }),
      assignments: () => app.commands.execute("nbgrader:open-assignment-list"),
      preview: async chapter => {
        await app.commands.execute("docmanager:save-all"); // what is handed in is what lies on the disk
        await show(ask(`?preview=${encodeURIComponent(chapter)}`));
      },
    };
    widget.node.addEventListener("click", event => {
      const button = event.target.closest("button[data-action]");
      if (button) {
        button.disabled = true; // a second click would hand in twice
        Promise.resolve(actions[button.dataset.action](button.dataset.target)).finally(() => (button.disabled = false));
      }
    });

    function home() {
      if (!widget.isAttached) {
        app.shell.add(widget, "main", { rank: 0 });
      }
      app.shell.activateById(widget.id);
      return actions.reload();
    }
    app.commands.addCommand("coursekit:home", { label: "Course: home page", execute: home });
    app.commands.addCommand("coursekit:hand-in", {
      label: "Course: hand in this chapter",
      execute: async () => {
        const path = app.shell.currentWidget?.context?.path || "";
        await home();
        return path.includes("/") ? actions.preview(path.split("/")[0]) : undefined;
      },
    });
    for (const command of ["coursekit:home", "coursekit:hand-in"]) {
      palette?.addItem({ command, category: "Course" });
    }
    app.restored.then(home);
  }

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  let shared = {};
  window._JUPYTERLAB["coursekit-home"] = {
    init: scope => {
      shared = scope;
    },
    get: async () => {
      const load = async name => (await Object.values(shared[name])[0].get())();
      const { Widget } = await load("@lumino/widgets");
      const { ICommandPalette } = await load("@jupyterlab/apputils");
      const plugin = {
        id: "coursekit-home:plugin",
        autoStart: true,
        optional: [ICommandPalette],
        activate: (app, palette) => activate(app, palette, Widget),
      };
      return () => ({ __esModule: true, default: plugin });
    },
  };
})();
