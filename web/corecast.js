// The page at `/`: what is on air, in live numbers, with one player.
// Titles and names come from strangers: they are only ever set as text.
"use strict";

(() => {
  const POLL_MS = 1500;
  const POLL_HIDDEN_MS = 15000;
  const ANSWER_MS_MAX = 8000;
  const RETRY_MS_MIN = 500;
  const RETRY_MS_MAX = 10000;
  const STALL_MS_MAX = 12000;

  const byId = (id) => document.getElementById(id);
  const audio = byId("player");
  const cards = new Map();
  let mounts = [];
  let pollTimer = 0;

  // What the listener wants, not what the audio element does at the moment.
  const wish = { mount: null, retryMs: RETRY_MS_MIN, timer: 0, heardMs: 0, position: 0 };

  // ---- numbers as text

  function span(seconds) {
    if (seconds === null || seconds === undefined) return "–";
    const days = Math.floor(seconds / 86400);
    const hours = Math.floor((seconds % 86400) / 3600);
    const minutes = Math.floor((seconds % 3600) / 60);
    if (days > 0) return `${days} d ${hours} h`;
    if (hours > 0) return `${hours} h ${minutes} min`;
    return minutes > 0 ? `${minutes} min` : `${Math.floor(seconds)} s`;
  }

  function size(bytes) {
    const units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let value = bytes;
    let unit = 0;
    while (value >= 1000 && unit < units.length - 1) {
      value /= 1000;
      unit += 1;
    }
    return `${value.toFixed(unit > 0 && value < 10 ? 1 : 0)} ${units[unit]}`;
  }

  function setText(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  // ---- the list

  const CODECS = {
    mp1: "MP1", mp2: "MP2", mp3: "MP3", aac: "AAC", vorbis: "Vorbis", opus: "Opus", flac: "FLAC",
    speex: "Speex", h264: "H.264", h265: "HEVC", av1: "AV1", vp9: "VP9", ac3: "AC-3", eac3: "E-AC-3",
  };
  const STATES = { live: "live", waiting: "source lost", gone: "off air" };

  // A mount that has no bytes of its own, only what is written from its tracks.
  const isCoded = (mount) => mount.content_type === "application/x-rtmp";

  function badges(mount) {
    const kbits = Math.round(mount.bitrate_bps / 1000);
    const channels = { 1: "mono", 2: "stereo" }[mount.channels] ?? `${mount.channels} channels`;
    const picture = mount.tracks.find((track) => track.kind === "video");
    const codecs = mount.tracks.map((track) => CODECS[track.codec] ?? track.codec).join(" + ");
    return [
      isCoded(mount) ? codecs : CODECS[mount.codec] ?? mount.content_type,
      picture ? `${picture.width}×${picture.height}` : "",
      kbits > 0 ? `${kbits} kbit/s` : "",
      mount.sample_rate_hz > 0 ? `${mount.sample_rate_hz / 1000} kHz` : "",
      mount.channels > 0 ? channels : "",
      mount.genre,
      mount.hidden ? "hidden" : "",
    ].filter((text) => text !== "");
  }

  function newCard(name) {
    const card = byId("card").content.firstElementChild.cloneNode(true);
    const part = (className) => card.querySelector(`.${className}`);
    const parts = {};
    for (const className of ["name", "path", "state", "title", "about", "badges", "listeners",
      "unique", "peak", "since", "sent", "play", "watch"]) {
      parts[className] = part(className);
    }
    parts.play.addEventListener("click", () => {
      const mount = mounts.find((one) => one.name === name);
      if (mount && isCoded(mount)) location.assign(`/watch${mount.path}`);
      else if (wish.mount === name) stop();
      else play(name);
    });
    return { card, parts };
  }

  function showMount(mount) {
    if (!cards.has(mount.name)) cards.set(mount.name, newCard(mount.name));
    const { card, parts } = cards.get(mount.name);
    const name = mount.stream_name || mount.name;
    setText(parts.name, name);
    setText(parts.path, mount.path);
    parts.path.href = isCoded(mount) ? `/watch${mount.path}` : mount.path;
    parts.watch.href = `/watch${mount.path}`;
    setText(parts.state, STATES[mount.state] ?? mount.state);
    parts.state.className = `state ${mount.state}`;
    setText(parts.title, mount.title);
    setText(parts.about, mount.description);
    setText(parts.listeners, (mount.listeners + mount.viewers).toLocaleString());
    setText(parts.unique, mount.listeners_unique.toLocaleString());
    setText(parts.peak, mount.listeners_peak.toLocaleString());
    setText(parts.since, span(mount.live_seconds));
    setText(parts.sent, size(mount.bytes_sent));
    // These are of listeners; who watches by HLS is in the first number alone.
    for (const part of ["unique", "peak", "sent"]) {
      parts[part].parentElement.hidden = isCoded(mount);
    }
    const texts = badges(mount);
    if (parts.badges.dataset.shown !== texts.join("\n")) {
      parts.badges.dataset.shown = texts.join("\n");
      parts.badges.replaceChildren(...texts.map((text) => {
        const badge = document.createElement("li");
        badge.textContent = text;
        return badge;
      }));
    }
    const wanted = wish.mount === mount.name;
    card.classList.toggle("playing", wanted);
    parts.play.setAttribute("aria-pressed", String(wanted));
    parts.play.setAttribute("aria-label", `${wanted ? "Stop" : "Play"} ${name}`);
    parts.play.disabled = mount.state === "gone" && mount.fallback === null && !wanted;
    return card;
  }

  function showMounts() {
    const names = new Set(mounts.map((mount) => mount.name));
    for (const [name, { card }] of cards) {
      if (!names.has(name)) {
        card.remove();
        cards.delete(name);
      }
    }
    const list = byId("mounts");
    mounts.forEach((mount, at) => {
      const card = showMount(mount);
      if (list.children[at] !== card) list.insertBefore(card, list.children[at] ?? null);
    });
    byId("empty").hidden = mounts.length > 0;
    const onAir = mounts.filter((mount) => mount.state === "live").length;
    const listeners = mounts.reduce((sum, mount) => sum + mount.listeners + mount.viewers, 0);
    setText(byId("total-mounts"), onAir.toLocaleString());
    setText(byId("total-listeners"), listeners.toLocaleString());
    showPlayer();
  }

  function notice(text) {
    const element = byId("notice");
    element.hidden = text === "";
    setText(element, text);
  }

  async function fetchJson(path) {
    const signal = AbortSignal.timeout(ANSWER_MS_MAX);
    const response = await fetch(path, { signal, cache: "no-store" });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    return response.json();
  }

  async function poll() {
    clearTimeout(pollTimer);
    try {
      const [list, server] =
        await Promise.all([fetchJson("/api/v1/mounts"), fetchJson("/api/v1/server")]);
      mounts = list.mounts;
      setText(byId("total-uptime"), span(server.uptime_seconds));
      showMounts();
      const missing = list.missing_shards.length;
      if (server.draining) notice("The server is shutting down.");
      else notice(missing > 0 ? "Parts of the server do not answer: this list has gaps." : "");
    } catch {
      notice("The server does not answer. Trying again.");
    }
    clearTimeout(pollTimer);
    pollTimer = setTimeout(poll, document.hidden ? POLL_HIDDEN_MS : POLL_MS);
  }

  // ---- the player

  function play(name) {
    wish.mount = name;
    wish.retryMs = RETRY_MS_MIN;
    start();
    showMounts();
  }

  function stop() {
    wish.mount = null;
    clearTimeout(wish.timer);
    letGo();
    setText(byId("bar-status"), "");
    showMounts();
  }

  // Without a source the element closes its connection.
  function letGo() {
    audio.pause();
    audio.removeAttribute("src");
    audio.load();
  }

  function start() {
    clearTimeout(wish.timer);
    const mount = mounts.find((one) => one.name === wish.mount);
    audio.src = mount?.path ?? encodeURI(wish.mount);
    wish.heardMs = performance.now();
    wish.position = 0;
    setText(byId("bar-status"), "Connecting");
    audio.play().catch((error) => {
      if (wish.mount === null) return;
      if (error.name === "NotAllowedError") {
        setText(byId("bar-status"), "The browser waits for you: press play");
        wish.mount = null;
        showMounts();
        byId("bar").hidden = false;
      } else if (error.name !== "AbortError") {
        retry();
      }
    });
  }

  // A live stream that ends or breaks is asked for again, ever more slowly.
  function retry() {
    if (wish.mount === null) return;
    clearTimeout(wish.timer);
    setText(byId("bar-status"), "Interrupted, trying again");
    wish.timer = setTimeout(start, wish.retryMs);
    wish.retryMs = Math.min(wish.retryMs * 2, RETRY_MS_MAX);
  }

  function watch() {
    if (wish.mount === null || audio.paused) return;
    const now = performance.now();
    if (audio.currentTime > wish.position) {
      wish.position = audio.currentTime;
      wish.heardMs = now;
    } else if (now - wish.heardMs > STALL_MS_MAX) {
      wish.heardMs = now;
      retry();
    }
  }

  function showPlayer() {
    byId("bar").hidden = wish.mount === null;
    const mount = mounts.find((one) => one.name === wish.mount);
    const name = mount?.stream_name || wish.mount || "";
    const title = mount?.title || name;
    setText(byId("bar-title"), title);
    document.title = wish.mount === null ? "corecast" : `${title} – corecast`;
    if ("mediaSession" in navigator) {
      const known = navigator.mediaSession.metadata;
      if (wish.mount === null) navigator.mediaSession.metadata = null;
      else if (known?.title !== title || known?.artist !== name) {
        navigator.mediaSession.metadata = new MediaMetadata({ title, artist: name });
      }
    }
  }

  audio.addEventListener("playing", () => {
    wish.retryMs = RETRY_MS_MIN;
    setText(byId("bar-status"), "Playing");
    byId("bar").classList.add("sounding");
  });
  audio.addEventListener("waiting", () => setText(byId("bar-status"), "Buffering"));
  for (const event of ["pause", "waiting", "ended", "error", "emptied"]) {
    audio.addEventListener(event, () => byId("bar").classList.remove("sounding"));
  }
  for (const event of ["ended", "error"]) {
    audio.addEventListener(event, retry);
  }
  byId("bar-stop").addEventListener("click", stop);
  byId("volume").addEventListener("input", (event) => {
    audio.volume = Number(event.target.value);
  });
  // A page that is kept for the way back would keep its seat too.
  window.addEventListener("pagehide", () => {
    clearTimeout(wish.timer);
    letGo();
  });
  window.addEventListener("pageshow", (event) => {
    if (event.persisted && wish.mount !== null) start();
    if (event.persisted) poll();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) poll();
  });
  setInterval(watch, 1000);

  const tls = location.protocol === "https:" ? "-tls 1 " : "";
  setText(byId("publish"), "ffmpeg -re -i music.mp3 -c copy -f mp3 -content_type audio/mpeg \\\n" +
    `  ${tls}icecast://source:PASSWORD@${location.host}/live.mp3`);

  // For tests and for those who build on the page.
  window.corecast = {
    audio,
    play,
    stop,
    get mounts() { return mounts; },
    get playing() { return wish.mount; },
    get currentTime() { return audio.currentTime; },
  };

  const asked = new URLSearchParams(location.search).get("play");
  if (asked?.startsWith("/")) play(asked);
  poll();
})();
