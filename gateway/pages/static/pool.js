// What moves on a page: the block's clock, figures that are read again, and plots of the tables.
// Every page is whole without it.
"use strict";

(() => {
  // Seconds between two reads of the figures, at least, and the spread over which viewers come.
  const AGAIN = 30;
  const SPREAD = 4;

  // ---- plots: each draws what the table beside it says -----------------------------------------

  const drawn = new Map();

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const valueOf = (cell) => {
    const time = cell.querySelector("time");
    if (time) return Date.parse(time.dateTime) / 1000;
    const value = Number.parseFloat(cell.textContent.replaceAll(",", ""));
    return Number.isNaN(value) ? null : value;
  };

  const columnsOf = (table) => {
    const heads = [...table.tHead.rows[0].cells];
    const rows = [...table.tBodies[0].rows].reverse();
    return heads.flatMap((head, place) =>
      head.dataset.plot
        ? [{
            role: head.dataset.plot,
            name: head.textContent,
            values: rows.map((row) => valueOf(row.cells[place])),
            isTime: rows.length > 0 && Boolean(rows[0].cells[place].querySelector("time")),
          }]
        : []);
  };

  const shown = (value) =>
    value === null || value === undefined
      ? "–"
      : value.toLocaleString("en", { maximumFractionDigits: 7 });

  const shownTime = (seconds) =>
    seconds === null ? "–" : new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ");

  // Moments beside an axis: UTC's, 24 hours a day; the day, or the year, stands below where one begins.
  const DAY = 86_400;
  const format = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
  const MONTH = format({ month: "short" });
  const DATE = format({ day: "numeric", month: "short" });

  const timeLabels = (_plot, moments, _axis, _space, step) => {
    let above = "";
    return moments.map((seconds) => {
      if (seconds === null) return null;
      const moment = new Date(seconds * 1000);
      const year = String(moment.getUTCFullYear());
      if (step >= 365 * DAY) return year;
      const isOfDays = step >= DAY;
      const time = moment.toISOString().slice(11, step < 60 ? 19 : 16);
      const label = isOfDays ? (step >= 28 * DAY ? MONTH : DATE).format(moment) : time;
      const below = isOfDays ? year : DATE.format(moment);
      const isNew = below !== above;
      above = below;
      return isNew ? `${label}\n${below}` : label;
    });
  };

  const axis = (more) => ({
    stroke: colour("--faint"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { stroke: colour("--line"), width: 1 },
    ...more,
  });

  const seriesOf = (column, place, form) => {
    const stroke = colour(["--accent", "--second", "--third"][place % 3]);
    const asBars = form === "bars" || (form === "pair" && column.role === "y");
    return {
      label: column.name,
      stroke,
      width: asBars ? 0 : 2,
      dash: place === 2 ? [6, 4] : undefined,
      fill: asBars ? stroke : undefined,
      paths: asBars ? uPlot.paths.bars({ size: [0.7, 40] }) : undefined,
      points: { show: !asBars, size: 4, fill: stroke },
      scale: column.role === "z" ? "z" : "y",
      value: (_, value) => shown(value),
    };
  };

  const draw = (figure) => {
    const host = figure.querySelector(".drawn");
    const [x, ...lines] = columnsOf(figure.querySelector(".scroll table"));
    drawn.get(host)?.destroy();
    drawn.delete(host);
    host.hidden = !x || x.values.length < 2;
    if (host.hidden) return;
    host.setAttribute("role", "img");
    host.setAttribute("aria-labelledby", figure.querySelector("figcaption").id);
    const hasSecond = lines.some((line) => line.role === "z");
    const form = figure.dataset.plot;
    const fromZero = (_, low, high) => [Math.min(0, low ?? 0), (high ?? 1) * 1.05 || 1];
    const plot = new uPlot(
      {
        width: Math.max(200, host.clientWidth),
        height: 240,
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
        cursor: { drag: { x: false, y: false } },
        scales: {
          x: { time: x.isTime, range: form === "lines" ? undefined : aroundBars },
          y: { range: fromZero },
          z: { range: fromZero },
        },
        series: [
          { label: x.name, value: (_, value) => (x.isTime ? shownTime(value) : shown(value)) },
          ...lines.map((line, place) => seriesOf(line, place, form)),
        ],
        axes: [
          axis(x.isTime ? { values: timeLabels } : { values: (_, values) => values.map(whole) }),
          axis({ size: 64, label: figure.dataset.unit, labelSize: 20 }),
          ...(hasSecond
            ? [axis({ side: 1, scale: "z", size: 64, label: "XLM", labelSize: 20, grid: { show: false } })]
            : []),
        ],
      },
      [x.values, ...lines.map((line) => line.values)],
      host,
    );
    drawn.set(host, plot);
  };

  const whole = (value) => (Number.isInteger(value) ? String(value) : "");

  // Half a bar more at both ends, so that the outer bars are whole.
  const aroundBars = (plot, low, high) => {
    const values = plot.data[0];
    const half = values.length > 1 ? (high - low) / (values.length - 1) / 2 : 0.5;
    return [low - half, high + half];
  };

  const drawAll = (within) => {
    if (typeof uPlot === "undefined") return;
    for (const figure of within.querySelectorAll("figure[data-plot]")) draw(figure);
  };

  const resize = () => {
    for (const [host, plot] of drawn) {
      if (!host.isConnected) {
        plot.destroy();
        drawn.delete(host);
      } else if (host.clientWidth && host.clientWidth !== plot.width) {
        plot.setSize({ width: host.clientWidth, height: plot.height });
      }
    }
  };

  // ---- figures: read again, and put where the old ones are --------------------------------------

  let readAt = performance.now();
  let reading = false;

  const read = async () => {
    if (reading || document.hidden) return;
    reading = true;
    readAt = performance.now();
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.ok && !answer.redirected) put(await answer.text());
    } catch {
      // The pool is away for a moment: what is shown stays.
    } finally {
      reading = false;
    }
  };

  // What each part said before anything was drawn in it.
  const texts = new Map();

  const note = () => {
    for (const part of document.querySelectorAll("[data-live]")) texts.set(part.id, part.innerHTML);
  };

  const namesIn = (within) =>
    [...within.querySelectorAll("[data-live]")].map((part) => part.id).join(" ");

  const put = (text) => {
    const found = new DOMParser().parseFromString(text, "text/html");
    const main = document.getElementById("main");
    if (namesIn(document) === namesIn(found)) {
      for (const old of document.querySelectorAll("[data-live]")) {
        exchange(old, found.getElementById(old.id));
      }
    } else if (!main.contains(document.activeElement) || main === document.activeElement) {
      main.replaceChildren(...found.getElementById("main").childNodes);
      note();
      drawAll(main);
    }
    resize();
    wind();
  };

  const exchange = (old, fresh) => {
    if (old.contains(document.activeElement) || texts.get(old.id) === fresh.innerHTML) return;
    texts.set(old.id, fresh.innerHTML);
    const places = [...old.querySelectorAll(".scroll")].map((one) => [one.scrollLeft, one.scrollTop]);
    old.replaceChildren(...fresh.childNodes);
    drawAll(old);
    old.querySelectorAll(".scroll").forEach((one, place) => {
      [one.scrollLeft, one.scrollTop] = places[place] ?? [0, 0];
    });
  };

  const readSoon = () => setTimeout(read, 1000 + Math.random() * SPREAD * 1000);

  // ---- the clock ---------------------------------------------------------------------------------

  let ends = null;
  let lasts = 1;
  let index = null;

  const wind = () => {
    const clock = document.querySelector(".clock");
    if (!clock) return;
    lasts = Number(clock.dataset.lasts);
    if (index === null || Number(clock.dataset.index) > index) {
      index = Number(clock.dataset.index);
      ends = performance.now() + Number(clock.dataset.left) * 1000;
    }
    tick();
  };

  const tick = () => {
    const clock = document.querySelector(".clock");
    if (!clock || ends === null) return;
    const left = Math.max(0, Math.round((ends - performance.now()) / 1000));
    clock.querySelector(".seconds").textContent = String(left);
    const share = Math.min(100, (left * 100) / lasts);
    clock.querySelector(".left").setAttribute("stroke-dasharray", `${share} 100`);
  };

  const follow = () => {
    let ledger = 0;
    const events = new EventSource("/v1/blocks:watch");
    events.addEventListener("message", (event) => {
      const { block, head } = JSON.parse(event.data);
      if (!block || !block.isCurrent || head.ledger < ledger) return;
      const isNew = index !== null && block.index !== index;
      if (head.ledger > ledger) {
        const left = Date.parse(block.closesAt) - Date.parse(head.closeTime);
        ends = performance.now() + Math.max(0, left);
      }
      ledger = head.ledger;
      index = block.index;
      tick();
      if (isNew) readSoon();
    });
    // Whatever ends the stream, the browser opens it again by itself.
    return events;
  };

  // ---- all of it -----------------------------------------------------------------------------------

  note();
  drawAll(document);
  wind();
  addEventListener("resize", resize);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(document));
  if (document.querySelector("[data-live]")) {
    let events = follow();
    setInterval(tick, 1000);
    setInterval(() => {
      if (performance.now() - readAt > (AGAIN + Math.random() * SPREAD) * 1000) read();
    }, 5000);
    document.addEventListener("visibilitychange", () => {
      events.close();
      if (!document.hidden) {
        events = follow();
        read();
      }
    });
  }
})();
