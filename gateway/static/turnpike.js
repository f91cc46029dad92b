/* Behaviour of every screen, by `data-…` attributes. No page needs it to be readable; no inline script exists. */
"use strict";

(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const region = document.querySelector("[data-announce]");

  /** Say `text` through the live region; empty first, so that the same text is said twice. */
  function announce(text) {
    if (!region) return;
    region.textContent = "";
    setTimeout(() => (region.textContent = text), 50);
  }

  // --- Theme: a cookie that the server renders as data-theme, so no page flashes ---------------------
  function chooseTheme(choice) {
    const age = choice === "system" ? 0 : 31536000;
    document.cookie = `theme=${choice}; path=/; max-age=${age}; samesite=lax`;
    if (choice === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = `turnpike-${choice}`;
    for (const button of all("[data-theme-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice));
    }
    document.dispatchEvent(new Event("themechange"));
  }

  // --- Menus: <details> that close on Esc, on a click elsewhere and when another opens ---------------
  const popups = () => all("details.menu[open], details.info-tip[open]");
  document.addEventListener("click", (event) => {
    for (const open of popups()) if (!open.contains(event.target)) open.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const open of popups()) {
      open.open = false;
      open.querySelector("summary").focus();
    }
  });

  // --- Dialogs and drawers: the browser keeps the focus inside and returns it ------------------------
  async function openRow(row) {
    const drawer = document.getElementById("row-drawer");
    const content = drawer.querySelector("[data-drawer-content]");
    content.textContent = "…";
    drawer.showModal();
    try {
      const answer = await fetch(row.dataset.openUrl, { headers: { "X-Drawer": "1" } });
      if (!answer.ok) throw new Error(String(answer.status));
      content.innerHTML = await answer.text();
    } catch {
      content.innerHTML = "<p class='p-5'></p>";
      content.firstChild.textContent = region.dataset.loadFailed;
    }
  }

  // --- Copy and secrets -------------------------------------------------------------------------------
  function copySource(button) {
    const secret = button.closest("[data-secret]");
    if (secret) return secret.dataset.secret;
    const shown = all("pre", button.closest("[data-tabs]")).find((pre) => !pre.hidden);
    return shown.textContent;
  }

  async function copy(button) {
    const secret = button.closest("[data-secret]");
    const words = button.querySelector("span");
    try {
      await navigator.clipboard.writeText(copySource(button));
    } catch {
      if (secret) reveal(secret, true);
      announce(region.dataset.copyFailed);
      return;
    }
    if (secret) delete secret.dataset.uncopied;
    announce(region.dataset.copied);
    const before = (button.dataset.words ||= words.textContent);
    words.textContent = region.dataset.copied;
    setTimeout(() => (words.textContent = before), 2000);
  }

  function reveal(secret, shown) {
    const text = secret.querySelector("[data-secret-text]");
    text.dataset.masked ||= text.textContent;
    text.textContent = shown ? secret.dataset.secret : text.dataset.masked;
    secret.querySelector("[data-reveal]").setAttribute("aria-pressed", String(shown));
  }

  window.addEventListener("beforeunload", (event) => {
    if (document.querySelector("[data-uncopied]")) event.preventDefault();
  });

  // --- Tabs: arrow keys move, one tab stop -------------------------------------------------------------
  function selectTab(tab) {
    for (const other of all("[role=tab]", tab.parentElement)) {
      const chosen = other === tab;
      other.setAttribute("aria-selected", String(chosen));
      other.tabIndex = chosen ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
    }
  }
  document.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || event.target.getAttribute("role") !== "tab") return;
    const tabs = all("[role=tab]", event.target.parentElement);
    const next = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length];
    selectTab(next);
    next.focus();
  });

  // --- Waiting for something live: 204 nothing yet, 200 the HTML that takes the place -----------------
  function watch(place) {
    const words = place.querySelector("[data-live-words]");
    const now = place.querySelector("[data-live-now]");
    const waiting = words.textContent;
    let failures = 0;
    async function ask() {
      try {
        const answer = await fetch(place.dataset.live, { headers: { "X-Live": "1" } });
        if (!answer.ok) throw new Error(String(answer.status));
        failures = 0;
        words.textContent = waiting;
        now.hidden = true;
        if (answer.status === 200) return arrive(await answer.text());
      } catch {
        failures += 1;
        words.textContent = words.dataset.lost;
      }
      now.hidden = failures < 3;
      if (failures < 3) setTimeout(ask, place.dataset.every * 1000);
    }
    function arrive(html) {
      const box = document.createElement("div");
      box.setAttribute("role", "status");
      box.innerHTML = html;
      place.replaceWith(box);
      all("[data-live]", box).forEach(watch);
      all("[data-live]", box).forEach(watch); // what arrived may wait for something itself
    }
    now.addEventListener("click", ask);
    setTimeout(ask, place.dataset.every * 1000);
  }

  // --- Charts: the library is fetched only where a chart is -------------------------------------------
  async function loadCharts() {
    const first = document.querySelector("[data-chart]");
    if (!first) return;
    for (const src of first.dataset.scripts.split(" ")) {
      await new Promise((done, failed) => {
        const script = Object.assign(document.createElement("script"), { src, onload: done, onerror: failed });
        document.head.append(script);
      });
    }
  }

  function toggleChart(button) {
    const figure = button.closest("[data-chart]");
    const table = document.getElementById(button.getAttribute("aria-controls"));
    const words = button.textContent;
    table.hidden = !table.hidden;
    figure.querySelector(".chart-box").hidden = !table.hidden;
    button.setAttribute("aria-expanded", String(!table.hidden));
    button.textContent = button.dataset.other;
    button.dataset.other = words;
  }

  // --- One listener for every click ---------------------------------------------------------------------
  const onClick = {
    "[data-theme-choice]": (el) => chooseTheme(el.dataset.themeChoice),
    "[data-open]": (el) => document.getElementById(el.dataset.open).showModal(),
    "[data-close]": (el) => el.closest("dialog").close(),
    "[data-dismiss]": (el) => el.closest(".toast").remove(),
    "[data-copy]": copy,
    "[data-reveal]": (el) => reveal(el.closest("[data-secret]"), el.getAttribute("aria-pressed") !== "true"),
    "[role=tab]": selectTab,
    "[data-chart-toggle]": toggleChart,
  };
  document.addEventListener("click", (event) => {
    if (event.target.nodeName === "DIALOG") return closeFromBackdrop(event);
    for (const [selector, act] of Object.entries(onClick)) {
      const el = event.target.closest(selector);
      if (el) return act(el);
    }
    const row = event.target.closest("tr[data-open-url]");
    if (!row || event.ctrlKey || event.metaKey) return undefined;
    if (event.target.closest("a, button, input, summary") && !event.target.closest("td.head a")) return undefined;
    event.preventDefault();
    return openRow(row);
  });

  function closeFromBackdrop(event) {
    const box = event.target.getBoundingClientRect();
    const inside = event.clientX >= box.left && event.clientX <= box.right;
    if (!(inside && event.clientY >= box.top && event.clientY <= box.bottom)) event.target.close();
  }

  // --- Forms ------------------------------------------------------------------------------------------
  document.addEventListener("input", (event) => {
    const name = event.target.dataset.confirmName;
    if (name === undefined) return;
    const button = event.target.form.querySelector("button:not([type=button])");
    button.disabled = event.target.value.trim() !== name;
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!("once" in form.dataset)) return;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
  });
  window.addEventListener("pageshow", () => all("form[data-sent]").forEach((form) => delete form.dataset.sent));

  all("[data-live]").forEach(watch);
  loadCharts();
})();
