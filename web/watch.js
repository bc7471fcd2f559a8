// The player of one mount, at `/watch/<mount>` and, inside other pages, at `/embed/<mount>`.
// Titles and names come from strangers: they are only ever set as text.
"use strict";

(() => {
  const POLL_MS = 2000;
  const STATS_MS = 500;
  const RETRY_MS_MIN = 500;
  const RETRY_MS_MAX = 8000;
  const STALL_MS_MAX = 8000;
  // Who has moved within this long plays.
  const MOVED_MS_MAX = 1500;
  // Who stood so long and is so far behind where it should be then was held up.
  const STOOD_MS_MIN = 1200;
  const NEAR_S = 3;

  const byId = (id) => document.getElementById(id);
  const video = byId("video");
  const embedded = location.pathname.startsWith("/embed/");
  // As it stands in the address: escaped already.
  const mount = location.pathname.replace(/^\/(watch|embed)/, "");

  const asked = new URLSearchParams(location.search);
  // What a mount's hook may want to see goes along.
  const token = asked.has("token") ? `?token=${encodeURIComponent(asked.get("token"))}` : "";

  const WAYS = {
    hls: { name: "Low-latency HLS", url: `${mount}.m3u8${token}` },
    flv: { name: "HTTP-FLV", url: `${mount}.flv${token}`, type: "flv" },
    ts: { name: "HTTP-TS", url: `${mount}.ts${token}`, type: "mpegts" },
    ws: { name: "WebSocket-FLV", url: `${mount}.flv${token}`, type: "flv", socket: true },
  };

  const scripts = new Map();
  let player = null;
  let way = "hls";
  // What the server says of the mount: nothing yet, null where it knows none (or hides it).
  let report;
  let isAnswering = true;
  let fault = "";
  let retryMs = RETRY_MS_MIN;
  let retryTimer = 0;
  // Each start counts: one that was overtaken lets go of what it made.
  let turns = 0;
  let progress = { position: 0, ms: performance.now(), wasNear: true };

  function setText(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function notice(text) {
    byId("notice").hidden = text === "";
    setText(byId("notice"), text);
  }

  function script(name) {
    if (!scripts.has(name)) {
      scripts.set(name, new Promise((loaded, failed) => {
        const element = document.createElement("script");
        element.src = `/web/${name}`;
        element.onload = loaded;
        element.onerror = () => {
          scripts.delete(name);
          failed(new Error("scripts"));
        };
        document.head.append(element);
      }));
    }
    return scripts.get(name);
  }

  // ---- the ways to play

  async function playHls() {
    try {
      await script("hls.js");
    } catch {
      if (video.canPlayType("application/vnd.apple.mpegurl") === "") throw new Error("scripts");
    }
    const { Hls } = window;
    if (Hls === undefined || !Hls.isSupported()) {
      // Safari plays it itself.
      video.src = WAYS.hls.url;
      return { kind: "native", stop: () => video.removeAttribute("src") };
    }
    const hls = new Hls({
      // Who was held up comes back to the live edge, a little faster than the clock.
      lowLatencyMode: true, maxLiveSyncPlaybackRate: 1.1, enableWorker: false, backBufferLength: 30,
      // Titles come by the API; a track of cues would be a source that our policy forbids.
      enableDateRangeMetadataCues: false, enableEmsgMetadataCues: false, enableID3MetadataCues: false,
    });
    let wasLive = false;
    hls.on(Hls.Events.LEVEL_LOADED, (_, { details }) => {
      wasLive ||= details.live;
      // What was on air is over: nobody asked to see it again.
      if (!wasLive) setTimeout(() => player?.hls === hls && rest());
    });
    hls.on(Hls.Events.ERROR, (_, error) => {
      if (!error.fatal) return;
      if (error.type === Hls.ErrorTypes.MEDIA_ERROR) hls.recoverMediaError();
      else retry();
    });
    hls.on(Hls.Events.MANIFEST_PARSED, showQualities);
    hls.loadSource(WAYS.hls.url);
    hls.attachMedia(video);
    return { kind: "hls", hls, stop: () => hls.destroy() };
  }

  async function playStream({ url, type, socket }) {
    await script("mpegts.js");
    const { mpegts } = window;
    if (!mpegts.isSupported()) throw new Error("this browser has no Media Source Extensions");
    // Its faults come as events; what else it says is for those who work on it.
    mpegts.LoggingControl.enableAll = false;
    const absolute = new URL(url, location.href);
    if (socket) absolute.protocol = absolute.protocol.replace("http", "ws");
    const source = { type, isLive: true, url: absolute.href };
    const options = {
      enableWorker: false, liveBufferLatencyChasing: true, liveBufferLatencyMaxLatency: 1.2,
      liveBufferLatencyMinRemain: 0.3, lazyLoad: false, enableStashBuffer: false,
    };
    const stream = mpegts.createPlayer(source, options);
    stream.on(mpegts.Events.ERROR, retry);
    stream.on(mpegts.Events.LOADING_COMPLETE, retry);
    stream.attachMediaElement(video);
    stream.load();
    return { kind: "stream", stop: () => stream.destroy() };
  }

  // Nothing to play now: looks again later.
  function rest() {
    stop();
    retry();
  }

  function stop() {
    clearTimeout(retryTimer);
    player?.stop();
    player = null;
    byId("quality-label").hidden = true;
  }

  async function start() {
    stop();
    const turn = turns += 1;
    const chosen = way;
    fault = "";
    progress = { position: 0, ms: performance.now(), wasNear: true };
    try {
      const made = await (chosen === "hls" ? playHls() : playStream(WAYS[chosen]));
      if (turn !== turns) return made.stop();
      player = made;
      await sound();
    } catch (error) {
      if (turn !== turns || error.name === "AbortError") return;
      fault = error.message === "scripts"
        ? "This build is without the player's scripts; `./x run` fetches them (with npm)."
        : String(error.message);
      retry();
    }
  }

  // Browsers let pages play with sound only after somebody has touched them.
  async function sound() {
    try {
      await video.play();
    } catch (error) {
      if (error.name !== "NotAllowedError") throw error;
      video.muted = true;
      byId("unmute").hidden = false;
      await video.play();
    }
  }

  function retry() {
    clearTimeout(retryTimer);
    retryTimer = setTimeout(start, retryMs);
    retryMs = Math.min(retryMs * 2, RETRY_MS_MAX);
  }

  // ---- what is shown

  function option(value, text) {
    const element = document.createElement("option");
    element.value = value;
    element.textContent = text;
    return element;
  }

  function showQualities() {
    const levels = player?.hls?.levels ?? [];
    byId("quality-label").hidden = levels.length < 2;
    byId("quality").replaceChildren(option("-1", "automatic"), ...levels.map((level, at) =>
      option(String(at), `${level.height}p, ${Math.round(level.bitrate / 1000)} kbit/s`)));
  }

  function bufferedSeconds() {
    const { buffered, currentTime } = video;
    for (let at = 0; at < buffered.length; at += 1) {
      if (buffered.start(at) <= currentTime + 0.1 && currentTime <= buffered.end(at)) {
        return buffered.end(at) - currentTime;
      }
    }
    return 0;
  }

  function stats() {
    const quality = video.getVideoPlaybackQuality?.();
    const hls = player?.hls;
    return {
      way,
      // A stream's newest byte is what has just come.
      latency: hls ? hls.latency : player?.kind === "stream" ? bufferedSeconds() : null,
      buffer: bufferedSeconds(),
      bitrate: report?.bitrate_bps ?? 0,
      width: video.videoWidth,
      height: video.videoHeight,
      dropped: quality?.droppedVideoFrames ?? 0,
      frames: quality?.totalVideoFrames ?? 0,
    };
  }

  // Who was there and was held up goes back at once; who went back in time on purpose stays.
  function isNearEdge() {
    const hls = player?.hls;
    return !(hls?.liveSyncPosition > 0) || hls.latency < hls.targetLatency + NEAR_S;
  }

  const moves = () => progress.position > 0 && performance.now() - progress.ms < MOVED_MS_MAX;

  const NOTICES = {
    gone: "Nothing is on air here now.",
    waiting: "The source is lost. This goes on when it is back.",
  };

  function showNotice() {
    if (fault !== "") notice(fault);
    else if (moves()) notice("");
    else if (!isAnswering) notice("The server does not answer. Trying again.");
    else notice(report === undefined ? "" : NOTICES[report?.state ?? "gone"] ?? "");
  }

  function isSound() {
    if (video.videoWidth > 0) return false;
    return report ? !report.tracks.some(({ kind }) => kind === "video") : video.readyState > 0;
  }

  function showStats() {
    const now = stats();
    const seconds = (value) => (value === null || !Number.isFinite(value) ? "–" : `${value.toFixed(2)} s`);
    setText(byId("latency"), seconds(now.latency));
    setText(byId("buffer"), seconds(now.buffer));
    setText(byId("bitrate"), now.bitrate > 0 ? `${Math.round(now.bitrate / 1000)} kbit/s` : "–");
    setText(byId("picture"), now.width > 0 ? `${now.width}×${now.height}` : "–");
    setText(byId("dropped"), `${now.dropped} of ${now.frames}`);
    document.body.classList.toggle("sound", isSound());
    const ms = performance.now();
    if (video.currentTime !== progress.position) {
      const isNear = isNearEdge();
      if (ms - progress.ms > STOOD_MS_MIN && progress.wasNear && !isNear) {
        video.currentTime = player.hls.liveSyncPosition;
      }
      progress = { position: video.currentTime, ms, wasNear: isNear };
      retryMs = RETRY_MS_MIN;
    } else if (player !== null && !video.paused && ms - progress.ms > STALL_MS_MAX) {
      start();
    }
    showNotice();
  }

  const STATES = { live: "live", waiting: "source lost", gone: "off air" };

  function nameOfMount() {
    try {
      return decodeURIComponent(mount);
    } catch {
      return mount;
    }
  }

  async function poll() {
    try {
      const answer = await fetch(`/api/v1/mounts${mount}`, { cache: "no-store" });
      const wasGone = report === null || report?.state === "gone";
      report = answer.ok ? await answer.json() : null;
      isAnswering = true;
      if (wasGone && report?.state === "live" && player === null) {
        retryMs = RETRY_MS_MIN;
        start();
      }
      const state = report?.state ?? (moves() ? "live" : "gone");
      const name = report?.stream_name || nameOfMount();
      setText(byId("name"), name);
      setText(byId("title"), report?.title ?? "");
      setText(byId("state"), STATES[state] ?? state);
      byId("state").className = `state ${state}`;
      const watching = (report?.viewers ?? 0) + (report?.listeners ?? 0);
      setText(byId("watching"), watching.toLocaleString());
      document.title = report?.title ? `${report.title} – ${name}` : name;
    } catch {
      isAnswering = false;
    }
    showNotice();
    setTimeout(poll, POLL_MS);
  }

  // ---- start

  for (const [value, { name }] of Object.entries(WAYS)) byId("way").append(option(value, name));
  if (Object.hasOwn(WAYS, asked.get("way"))) way = asked.get("way");
  byId("way").value = way;
  byId("way").addEventListener("change", (event) => {
    way = event.target.value;
    start();
  });
  byId("quality").addEventListener("change", (event) => {
    if (player?.hls) player.hls.nextLevel = Number(event.target.value);
  });
  byId("unmute").addEventListener("click", () => {
    video.muted = false;
    byId("unmute").hidden = true;
  });
  video.addEventListener("ended", rest);
  video.addEventListener("error", () => {
    if (player?.kind === "native") rest();
  });
  document.body.classList.toggle("embedded", embedded);
  setText(byId("name"), nameOfMount());
  window.addEventListener("pagehide", stop);
  setInterval(showStats, STATS_MS);

  // For tests and for those who build on the page.
  window.corecast = { video, stats, get player() { return player; } };

  poll();
  start();
})();
