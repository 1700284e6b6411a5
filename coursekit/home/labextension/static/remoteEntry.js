// The browser's half of the home page: it shows what the server renders, and turns its buttons into commands.
// In an instructor's server it shows the reports on the class instead: a learner's has none.
(() => {
  const config = JSON.parse(document.getElementById("jupyter-config-data").textContent);
  const reports = Boolean(config.coursekitReports);
  const address = `${config.baseUrl}coursekit/${reports ? "reports" : "home"}`;

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

  function activate(app, palette, mainMenu, { Menu, Widget }) {
    const widget = new Widget();
    widget.id = "coursekit-home";
    widget.title.label = reports ? "Class" : "Home";
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
      // In a tab of its own: JupyterLab's viewer loads the page anew at each link within it, which a hub refuses.
      read: async path => window.open(await app.serviceManager.contents.getDownloadUrl(path), "_blank", "noopener"),
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
    if (reports) {
      const command = "coursekit:reports";
      app.commands.addCommand(command, { label: "What did my class misunderstand?", execute: home });
      palette?.addItem({ command, category: "Course" });
      const menu = new Menu({ commands: app.commands });
      menu.title.label = "Course";
      menu.addItem({ command });
      mainMenu?.addMenu(menu, false, { rank: 900 });
    } else {
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
      const widgets = await load("@lumino/widgets");
      const { ICommandPalette } = await load("@jupyterlab/apputils");
      const { IMainMenu } = await load("@jupyterlab/mainmenu");
      const plugin = {
        id: "coursekit-home:plugin",
        autoStart: true,
        optional: [ICommandPalette, IMainMenu],
        activate: (app, palette, mainMenu) => activate(app, palette, mainMenu, widgets),
      };
      return () => ({ __esModule: true, default: plugin });
    },
  };
})();
