/* Behaviour the server cannot do: theme, menus, copying, the log's follow pill,
   strip tooltips, ages, and saying so when the live stream is lost.
   No dependencies, no eval, no style attributes in markup. */
(() => {
  "use strict";
  const $ = (s, r = document) => r.querySelector(s), $$ = (s, r = document) => [...r.querySelectorAll(s)];
  const root = document.documentElement;
  const store = (k, v) => { try { localStorage.setItem(k, v); } catch { /* switched off */ } };

  /* ---- Theme, copying, menus ------------------------------------------ */
  document.addEventListener("click", (e) => {
    const theme = e.target.closest("[data-set-theme]")?.dataset.setTheme;
    if (theme) {
      store("rm-theme", theme);
      if (theme === "system") delete root.dataset.theme; else root.dataset.theme = theme;
    }
    if (e.target.closest("[data-density]")) {
      const on = root.dataset.density !== "compact";
      if (on) root.dataset.density = "compact"; else delete root.dataset.density;
      store("rm-density", on ? "compact" : "");
    }
    const copy = e.target.closest("[data-copy]");
    if (copy) copyText($(copy.dataset.copy), $("span", copy));
    // Menus are <details>: close the others when one opens, and all when something was chosen.
    const inside = e.target.closest("details.menu");
    for (const d of $$("details.menu[open]")) if (d !== inside || e.target.closest(".mi")) d.open = false;
  });
  document.addEventListener("keydown", (e) => {
    if (e.key === "Escape") for (const d of $$("details.menu[open]")) { d.open = false; $("summary", d).focus(); }
  });

  /* ---- What a test of storage found goes into a field, and is tried again */
  document.addEventListener("click", (e) => {
    const take = e.target.closest("[data-into]");
    if (!take) return;
    const field = $(take.dataset.into);
    field.value = $(take.dataset.take).textContent;
    for (let d = field.closest("details"); d; d = d.parentElement.closest("details")) d.open = true;
    const none = $(take.dataset.into + "-none");
    if (none) none.checked = false;
    $(take.dataset.then).click();
  });

  async function copyText(from, label) {
    const all = from.textContent, text = "exact" in from.dataset ? all : all.trim().replace(/\s+/g, " "), old = label.dataset.was ??= label.textContent;
    try {
      await navigator.clipboard.writeText(text);
      label.textContent = "Copied";
    } catch { // not allowed, or not a secure origin: select it instead, and say so
      getSelection().selectAllChildren(from);
      label.textContent = "Selected";
    }
    setTimeout(() => { label.textContent = old; }, 1600);
  }

  /* ---- Times: ages go on, clocks are the viewer's ---------------------- */
  // The server's clock decides what "now" is; ours may be wrong.
  let offset = (Date.parse(document.body.dataset.now) || Date.now()) - Date.now();
  const now = () => new Date(Date.now() + offset);
  const day = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
  const month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  // Everything on a page is in one zone, which the server has chosen; what is asked for
  // later is to be in the same. A browser that does not know it leaves clocks as they are.
  const zone = root.dataset.zone;
  document.addEventListener("htmx:config:request", (e) => { e.detail.ctx.request.headers["RM-Zone"] = zone; });
  let parts = null;
  try {
    const numbers = { year: "numeric", month: "numeric", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" };
    const format = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hourCycle: "h23", ...numbers });
    parts = (t) => {
      const p = Object.fromEntries(format.formatToParts(t).map((x) => [x.type, x.value]));
      const date = Date.UTC(p.year, p.month - 1, p.day); // midnight there, to count days by
      return { y: +p.year, md: `${+p.day} ${month[p.month - 1]}`, hm: `${p.hour}:${p.minute}`, s: p.second, date, wd: day[new Date(date).getUTCDay()] };
    };
  } catch { /* an unknown zone */ }
  // These say what the server's Span and Clock say.
  const span = (ms) => {
    const m = Math.floor(ms / 60000), h = Math.floor(m / 60), d = Math.floor(h / 24);
    if (m < 1) return ms < 1000 ? "under 1 s" : `${Math.floor(ms / 1000)} s`;
    if (m < 60) return `${m} min`;
    if (d < 1) return m % 60 && h < 10 ? `${h} h ${m % 60} min` : `${h} h`;
    return d < 7 && h % 24 ? `${d} d ${h % 24} h` : `${d} d`;
  };
  const clock = (t, n) => {
    const p = parts(t), q = parts(n), days = (q.date - p.date) / 86400000;
    if (days === 0) return p.hm;
    if (days > 0 && days <= 6) return `${p.wd} ${p.hm}`;
    return p.y === q.y ? `${p.md} ${p.hm}` : `${p.md} ${p.y}`;
  };
  const seconds = (t) => { const p = parts(t); return `${p.hm}:${p.s}`; };
  const forms = {
    ago: (t, n) => n - t < 60000 ? "just now" : `${span(n - t)} ago`,
    in: (t, n) => t - n < 60000 ? "now" : `in ${span(t - n)}`,
    span: (t, n) => span(n - t),
    ...parts && {
      clock,
      seconds,
      entry: (t, n) => {
        const p = parts(t), q = parts(n);
        return `${p.date === q.date ? "" : p.y === q.y ? p.md + " " : `${p.md} ${p.y} `}${seconds(t)}`;
      },
    },
  };
  function tell(times) {
    const n = now();
    for (const el of times) {
      const t = new Date(el.dateTime), form = forms[el.dataset.f];
      if (!form || isNaN(t)) continue;
      const text = form(t, n);
      if (el.textContent !== text) el.textContent = text;
    }
  }
  const tellPage = () => tell($$("time[data-f]:not(.ts)"));
  tell($$("time[data-f]"));
  document.addEventListener("htmx:after:swap", tellPage);
  setInterval(() => { if (!document.hidden && !lost) tellPage(); }, 15000);

  // The lines of a log have nothing on hover until somebody points at one.
  document.addEventListener("pointerover", (e) => {
    const el = e.target.closest?.("time:not([title])");
    const p = el && parts?.(new Date(el.dateTime));
    if (p) el.title = `${p.wd} ${p.md} ${p.y} ${p.hm}:${p.s} ${zone}`;
  });

  /* ---- The page's one stream ------------------------------------------- */
  const banner = $("#stream-lost"), live = $("#live");
  let connection = null, lost = false, ended = false, lastData = now(), timer = 0, heard = performance.now();

  function hear() {
    heard = performance.now();
    lastData = now();
    clearTimeout(timer);
    timer = 0;
    if (!lost) return;
    lost = false;
    live?.classList.remove("lost");
    if (live) $(".word", live).textContent = "Live";
    if (banner) banner.hidden = true;
    tellPage();
  }
  // A stream that is away for less than three seconds is nobody's business.
  function lose(status) {
    if (ended || document.hidden) return;
    if (lost) return sayLost(status);
    timer ||= setTimeout(() => { timer = 0; if (!document.hidden && !ended) { lost = true; sayLost(status); } }, 3000);
  }
  function sayLost(status) {
    live?.classList.add("lost");
    if (live) $(".word", live).textContent = "Not live";
    if (!banner) return;
    if (status === 401 || status === 403) return out();
    $(".since", banner).textContent = status === 429
      ? `Too many live pages are open in this browser. Close some; this one becomes live by itself then. What you see is from ${lastSeen()}.`
      : `What you see is from ${lastSeen()}. Trying again.`;
    banner.hidden = false;
  }
  const lastSeen = () => parts ? seconds(lastData) : forms.ago(lastData, now());
  // Signed out, or with another role: nothing more will come until somebody signs in.
  let signedOut = false;
  function out() {
    signedOut = ended = lost = true;
    clearTimeout(timer);
    live?.classList.add("lost");
    if (live) $(".word", live).textContent = "Signed out";
    $("#stream")?.remove();
    if (!banner) return;
    $(".since", banner).textContent = `You are signed out, or your role has changed. What you see is from ${lastSeen()}.`;
    $("button", banner).textContent = "Sign in";
    banner.hidden = false;
  }
  const ours = (e) => e.target?.id === "stream";
  document.addEventListener("htmx:sse:before:connection", (e) => {
    if (!ours(e)) return;
    connection = e.detail.connection;
    if (connection.attempt > 0) lose();
  });
  document.addEventListener("htmx:sse:after:connection", (e) => { if (ours(e)) { connection = e.detail.connection; hear(); } });
  document.addEventListener("htmx:sse:before:message", (e) => { if (ours(e)) hear(); });
  document.addEventListener("htmx:sse:error", (e) => { if (ours(e)) lose(e.detail.status); });
  document.addEventListener("beat", (e) => { // the server's clock
    if (!ours(e)) return;
    const t = Date.parse(e.detail.data);
    if (t) offset = t - Date.now();
  });
  document.addEventListener("out", (e) => { if (ours(e)) out(); });
  document.addEventListener("htmx:sse:close", (e) => {
    if (!ours(e) || signedOut) return;
    connection = null;
    if (e.detail.reason !== "message") return lose();
    ended = true; // the server said that nothing more will come
    clearTimeout(timer);
    live?.classList.add("ended");
    if (live) $(".word", live).textContent = "Final";
    if (banner) banner.hidden = true;
    e.target.remove();
  });
  // The extension reconnects a stream that once stood. One that never did (the
  // server was away, or refused) is ours to try again, with the same patience.
  let tries = 0;
  document.addEventListener("htmx:finally:request", (e) => {
    const el = e.detail.ctx?.sourceElement;
    if (el?.id !== "stream" || ended) return;
    const status = e.detail.ctx.response?.status;
    if (el._htmx?.sse) { tries = 0; return; }
    lose(status);
    setTimeout(() => reopen(el), Math.min(500 * 2 ** tries++, 8000) * (0.7 + Math.random() * 0.6));
  });
  function reopen(el) {
    if (!el.isConnected || el._htmx?.sse) return;
    if (document.hidden) return document.addEventListener("visibilitychange", () => reopen(el), { once: true });
    const again = el.cloneNode(false);
    el.replaceWith(again);
    htmx.process(again);
  }
  // A line that was cut without a word: no beat for two and a half beats.
  setInterval(() => {
    if (!connection || ended || document.hidden || performance.now() - heard < 25000) return;
    heard = performance.now();
    lose();
    connection.reader?.cancel();
  }, 2500);
  document.addEventListener("visibilitychange", () => {
    // A hidden page closes its stream and reopens it; it has not lost it.
    clearTimeout(timer);
    timer = 0;
    heard = performance.now();
  });
  if (banner) $("button", banner).addEventListener("click", () => {
    if (signedOut) location.assign("/login?ended=1&next=" + encodeURIComponent(location.pathname + location.search));
    else if (connection?.delayCanceller) connection.delayCanceller(); else location.reload();
  });

  /* ---- An action that did not reach the server -------------------------- */
  document.addEventListener("htmx:error", (e) => {
    const form = e.detail.ctx?.sourceElement, notice = $("#notice");
    if (!notice || !form?.matches?.("form") || form.method !== "post") return;
    const note = document.createElement("section"), t = document.createElement("p");
    note.className = "note note-fail";
    t.className = "t";
    t.textContent = "The server could not be reached. Nothing was changed; try again in a moment.";
    note.append(t);
    notice.replaceChildren(note);
    notice.scrollIntoView();
  });

  /* ---- Search and commands: Ctrl K, ⌘K, or the button in the bar -------- */
  const palette = $("#palette");
  if (palette) {
    const field = $("[name=q]", palette), said = $("[role=status]", palette), button = $("[data-palette]");
    const list = () => $("#palette-list"), options = () => $$("[role=option]", list());
    const mac = /Mac|iP(hone|ad|od)/.test(navigator.platform);
    if (mac) $("kbd", button).textContent = "⌘K";
    let shown = null, chosen = -1, go = false; // go: Enter was pressed before the list was there
    const isCurrent = () => "q" in list().dataset && decodeURIComponent(list().dataset.q) === field.value.trim();
    const choose = (n) => {
      const all = options();
      chosen = all.length ? (n + all.length) % all.length : -1;
      all.forEach((o, i) => o.setAttribute("aria-selected", String(i === chosen)));
      if (chosen < 0) return field.removeAttribute("aria-activedescendant");
      field.setAttribute("aria-activedescendant", all[chosen].id);
      all[chosen].scrollIntoView({ block: "nearest" });
    };
    const open = () => {
      if (palette.open) return;
      for (const d of $$("details.menu[open]")) d.open = false;
      palette.showModal();
      field.focus();
      field.select();
      field.dispatchEvent(new Event("palette"));
    };
    document.addEventListener("keydown", (e) => {
      // On a Mac, Ctrl K in a field deletes to the end of the line.
      if (e.key.toLowerCase() !== "k" || e.altKey || e.shiftKey || !(mac ? e.metaKey && !e.ctrlKey : e.ctrlKey && !e.metaKey)) return;
      e.preventDefault();
      open();
    });
    button.addEventListener("click", (e) => {
      if (e.button || e.ctrlKey || e.metaKey || e.shiftKey || e.altKey) return;
      e.preventDefault();
      open();
    });
    palette.addEventListener("click", (e) => { if (e.target === palette || e.target.closest("[data-close]")) palette.close(); });
    palette.addEventListener("close", () => { go = false; });
    field.addEventListener("input", () => { go = false; });
    field.addEventListener("keydown", (e) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
      if (!step || e.isComposing) return;
      e.preventDefault();
      choose(chosen + step);
    });
    field.form.addEventListener("submit", (e) => { // Enter
      e.preventDefault();
      if (isCurrent()) options()[chosen]?.click();
      else go = true;
    });
    document.addEventListener("htmx:after:swap", () => {
      if (!palette.open || !isCurrent() || list() === shown) return;
      shown = list();
      said.textContent = shown.dataset.said;
      choose(0);
      if (go) options()[0]?.click();
    });
    document.addEventListener("htmx:error", (e) => {
      if (e.detail.ctx?.sourceElement === field) said.textContent = "The server could not be reached. Try again in a moment.";
    });
    // A browser that goes back shows the page as it was left, without the dialog.
    addEventListener("pageshow", () => { if (palette.open) palette.close(); });
  }

  /* ---- Tooltip of the 30-day strips: one listener serves every row ------ */
  const tip = $("#tip");
  const word = { s: "Succeeded", w: "Completed with warnings", f: "Failed", m: "Missed", n: "Nothing due", r: "Running", p: "Paused", z: "Asleep" };
  if (tip) document.addEventListener("pointermove", (e) => {
    const s = e.target.closest?.("svg[data-strip]");
    if (!s) return tip.classList.remove("on");
    const box = s.getBoundingClientRect(), days = s.dataset.strip, [y, m, d] = s.dataset.last.split("-").map(Number);
    const i = Math.max(0, Math.min(days.length - 1, Math.floor((e.clientX - box.left) / box.width * days.length)));
    const t = new Date(y, m - 1, d - (days.length - 1 - i));
    tip.textContent = `${day[t.getDay()]} ${t.getDate()} ${month[t.getMonth()]} · ${word[days[i]] ?? ""}`;
    tip.style.left = Math.min(innerWidth - 200, e.clientX + 12) + "px";
    tip.style.top = box.top - 36 + "px";
    tip.classList.add("on");
  }, { passive: true });

  /* ---- Log: each line once, follow the tail until the reader scrolls up -- */
  const view = $("#log-stream"), pill = $("[data-follow]");
  if (view && pill) {
    const label = $("span", pill), most = 2000;
    let follow = view.dataset.log === "follow" && !location.hash, unseen = 0;
    let last = Number(view.lastElementChild?.dataset.n) || 0;
    const paint = () => {
      pill.setAttribute("aria-pressed", String(follow));
      label.textContent = follow ? "Following" : unseen ? `Follow · ${unseen} new` : "Follow";
    };
    document.addEventListener("htmx:sse:close", () => { if (ended) pill.hidden = true; }); // nothing more comes
    const atEnd = () => view.scrollHeight - view.scrollTop - view.clientHeight < 24;
    const toEnd = () => { view.scrollTop = view.scrollHeight; };
    const set = (v) => { follow = v; if (v) { unseen = 0; toEnd(); } paint(); };
    view.addEventListener("scroll", () => {
      const end = atEnd();
      if (end !== follow) { follow = end; if (end) unseen = 0; paint(); }
    }, { passive: true });
    pill.addEventListener("click", () => set(!follow));
    const counts = new Map($$("[data-level]").map((b) => [b.dataset.level, $("b", b)]));
    for (const b of $$("[data-level]")) b.addEventListener("click", () => {
      const on = b.getAttribute("aria-pressed") !== "true";
      b.setAttribute("aria-pressed", String(on));
      view.classList.toggle("no-" + b.dataset.level, !on);
      if (follow) toEnd();
    });
    new MutationObserver((records) => {
      let fresh = 0;
      for (const line of records.flatMap((r) => [...r.addedNodes])) {
        if (line.nodeType !== 1 || line.parentNode !== view) continue;
        const n = Number(line.dataset.n);
        if (!(n > last)) { line.remove(); continue; } // a line the page has already
        last = n;
        fresh++;
        tell($$("time", line));
        for (const [level, b] of counts) if (line.classList.contains("ln-" + level)) b.textContent = (Number(b.textContent.replaceAll(",", "")) + 1).toLocaleString("en");
      }
      if (!fresh) return;
      // Someone who reads further up must not have the lines pulled from under them.
      if (follow) while (view.childElementCount > most) view.firstElementChild.remove();
      if (follow) toEnd(); else { unseen += fresh; paint(); }
    }).observe(view, { childList: true });
    // A window that becomes smaller cuts off the end, which is what one follows.
    new ResizeObserver(() => { if (follow) toEnd(); }).observe(view);
    if (follow) toEnd();
    paint();
  }

  /* ---- Trees: what is below is loaded when somebody looks ---------------- */
  // The link's address is a page with it unfolded; the attribute may name a smaller answer.
  const unfold = (attribute, said) => (e) => {
    const open = e.target.closest(`[${attribute}]`);
    if (!open || e.button || e.ctrlKey || e.metaKey || e.shiftKey || e.altKey) return;
    e.preventDefault();
    const list = $("ul", open.closest("li")), on = open.getAttribute("aria-expanded") !== "true";
    open.setAttribute("aria-expanded", String(on));
    list.hidden = !on;
    if (!on || list.childElementCount) return;
    const wait = setTimeout(() => { list.innerHTML = `<li class="tree-note c-2" role="status">${said}</li>`; }, 300);
    htmx.ajax("GET", open.getAttribute(attribute) || open.getAttribute("href"), { source: open, target: list, swap: "innerHTML" }).finally(() => clearTimeout(wait));
  };

  /* ---- A restore's tree: folders open in place, ticks go to the basket --- */
  const tree = $("#tree");
  if (tree) {
    const pathOf = (box) => box.value.slice(box.value.indexOf(" ") + 1);
    // What is in the basket decides which boxes are ticked, here and after each change.
    const sync = () => {
      const mine = $$("#basket li").filter((li) => li.dataset.snapshot === tree.dataset.snapshot);
      const exact = new Set(mine.map((li) => li.dataset.path));
      const folders = mine.filter((li) => "folder" in li.dataset).map((li) => li.dataset.path.replace(/\/$/, "") + "/");
      for (const box of $$("[name=tick]", tree)) {
        const path = pathOf(box), odd = "odd" in box.dataset;
        const above = !exact.has(path) && folders.some((f) => path.startsWith(f));
        box.checked = exact.has(path) || above;
        box.disabled = odd || above;
      }
    };
    tree.addEventListener("change", (e) => {
      const box = e.target.closest("[name=tick]");
      if (!box) return;
      const values = { snapshot: tree.dataset.snapshot, [box.checked ? "tick" : "remove"]: box.checked ? box.value : pathOf(box) };
      // From where there is no field, since all fields there would be sent; one after the other, and none is left out.
      htmx.ajax("POST", tree.action, { source: "#ticks", target: "#basket", swap: "outerMorph", values });
    });
    tree.addEventListener("click", unfold("data-open", "The host is asked…"));
    document.addEventListener("htmx:after:swap", sync);
    document.addEventListener("htmx:finally:request", sync); // a tick that was refused is taken back
    addEventListener("pageshow", sync); // a browser that goes back fills in what was ticked then
    // What is loaded is filtered while typing; the rest when the form is sent.
    $("#tree-filter")?.addEventListener("input", (e) => {
      const text = e.target.value.toLowerCase();
      const rows = $$("[data-root] > li:has(> .trow)", tree);
      for (const li of rows) li.hidden = !$(".nm", li).textContent.toLowerCase().includes(text);
      $("#tree-none").hidden = !rows.length || rows.some((li) => !li.hidden);
    });
  }

  /* ---- Topics: unfold, choose one, pause what goes by -------------------- */
  const pause = $("[data-pause]");
  if (pause) {
    const most = 200;
    let last = 0, paused = false, missed = 0;
    const paint = () => {
      pause.setAttribute("aria-pressed", String(paused));
      const said = $("[data-paused]");
      if (!said) return;
      said.hidden = !paused;
      said.textContent = missed ? ` Paused; ${missed.toLocaleString("en")} have gone by since.` : " Paused.";
    };
    pause.addEventListener("click", () => { paused = !paused; missed = 0; paint(); });
    const watch = () => {
      const list = $("#topic-messages");
      if (list?.watched) return;
      paused = false; // what was asked for anew is another list
      missed = 0;
      paint();
      if (!list) return;
      list.watched = true;
      last = Number($(".msg", list)?.dataset.n) || 0;
      new MutationObserver((records) => {
        for (const line of records.flatMap((r) => [...r.addedNodes])) {
          if (line.nodeType !== 1 || line.parentNode !== list) continue;
          const n = Number(line.dataset.n);
          if (n && n <= last) line.remove(); // one that the page has already
          else if (paused) { missed += n ? 1 : parseInt(line.textContent.replaceAll(",", ""), 10) || 0; line.remove(); }
          if (n > last) last = n;
          tell($$("time", line));
        }
        if (paused) paint();
        while (list.childElementCount > most) list.lastElementChild.remove();
      }).observe(list, { childList: true });
    };
    document.addEventListener("htmx:after:swap", watch);
    watch();
    const open = unfold("data-unfold", "Loading…");
    document.addEventListener("click", (e) => {
      if (!e.target.closest("#topic-tree")) return;
      open(e);
      const leaf = e.target.closest("[data-topic]");
      if (!leaf) return;
      for (const a of $$("#topic-tree [aria-current]")) a.removeAttribute("aria-current");
      leaf.setAttribute("aria-current", "true");
    });
  }

  /* ---- Where a restore goes: a folder that is typed is the one that is meant --- */
  $("#place #folder")?.addEventListener("input", () => { $("#where-folder").checked = true; });
})();
