// Draws the figures of a page: plotly and all figures lie in it packed, by zlib and as base 85.
"use strict";
(() => {
  const CONFIG = PLOTLY_CONFIG;
  const LEAST_TEXT = 10; // pixels: a figure is shrunk no further, and scrolls inside its own box
  const PRINTED = 650; // pixels between the margins of A4
  // pixels of what a sheet of Letter, the shorter one, has below a caption of three lines
  const PRINTED_HEIGHT = 860;
  const places = [...document.querySelectorAll(".plot")];
  const wantsDark = matchMedia("(prefers-color-scheme: dark)");
  let figures = null; // name -> {data, layout, frames}
  let printing = false;

  // what is packed -> text

  const unpack = async id => {
    const text = document.getElementById(id).textContent.trim();
    const digit = new Uint8Array(128);
    [...DIGITS].forEach((sign, value) => { digit[sign.charCodeAt(0)] = value; });
    const whole = Math.ceil(text.length / 5);
    const bytes = new Uint8Array(4 * whole);
    const view = new DataView(bytes.buffer);
    for (let group = 0; group < whole; group++) {
      let number = 0;
      for (let k = 5 * group; k < 5 * group + 5; k++) {
        // a last group that is not full was cut where its digits would all be the highest
        number = 85 * number + (k < text.length ? digit[text.charCodeAt(k)] : 84);
      }
      view.setUint32(4 * group, number);
    }
    const packed = bytes.subarray(0, bytes.length - (5 * whole - text.length));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).text();
  };

  // colours: dark ink on white paper -> light ink on dark paper

  const inDark = colour => {
    const hex = /^#([0-9a-f]{3}|[0-9a-f]{6})$/i.exec(colour);
    const rgb = /^rgba?\(([^)]+)\)$/.exec(colour);
    let channels, alpha = 1;
    if (hex) {
      const digits = hex[1].length === 3 ? hex[1].replace(/./g, "$&$&") : hex[1];
      channels = [0, 2, 4].map(k => parseInt(digits.slice(k, k + 2), 16));
    } else if (rgb) {
      const numbers = rgb[1].split(",").map(Number);
      channels = numbers.slice(0, 3);
      alpha = numbers[3] ?? 1;
    } else if (colour === "white") channels = [255, 255, 255];
    else if (colour === "black") channels = [0, 0, 0];
    else return colour;
    const [low, high] = [Math.min(...channels), Math.max(...channels)];
    const light = (low + high) / 510;
    // white becomes the paper of the page, its ink the ink; hue and saturation stay
    if (light === 1) channels = [22, 24, 28];
    else {
      const wanted = 0.1 + 0.925 * (1 - light);
      const spread = high > low ? (high - low) / 255 / (1 - Math.abs(2 * light - 1)) : 0;
      const reach = spread * (1 - Math.abs(2 * wanted - 1));
      channels = channels.map(c => {
        const part = high > low ? (c - low) / (high - low) - 0.5 : 0;
        return Math.round(255 * Math.min(1, wanted + part * reach));
      });
    }
    return `rgba(${channels.join(",")},${alpha})`;
  };

  // numbers stand on a scale of colours: under light ink its white becomes paper, its ends are darker
  const isNearlyWhite = colour => /^#f[0-9a-f]f[0-9a-f]f[0-9a-f]$/i.test(colour);
  const endsInDark = ENDS_IN_DARK;
  const inDarkScale = colour => endsInDark[colour] ?? (isNearlyWhite(colour) ? inDark(colour) : colour);

  const recoloured = (value, isColour, isScale) => {
    if (typeof value === "string") {
      if (isScale) return inDarkScale(value);
      if (isColour) return inDark(value);
      return value.replace(/(color:\s*|px )(#[0-9a-f]{6})/gi, (_, key, colour) => key + inDark(colour));
    }
    if (Array.isArray(value)) return value.map(one => recoloured(one, isColour, isScale));
    if (value === null || typeof value !== "object") return value;
    const changed = {};
    for (const [key, one] of Object.entries(value)) {
      changed[key] = recoloured(one, /color(s|way)?$/i.test(key), /colorscale/.test(key));
    }
    return changed;
  };

  const isDark = () => wantsDark.matches && !printing;

  // size: scaled for a narrower place, then scrolled

  /** Pixels of the smallest letters of a figure before it is scaled. */
  const smallestText = canvas => {
    const written = [...canvas.querySelectorAll("text")].filter(one => one.textContent.trim());
    return Math.min(...written.map(one => parseFloat(getComputedStyle(one).fontSize)));
  };

  const fit = place => {
    const { width, height } = figures[place.dataset.figure].layout;
    const room = Math.min(width, printing ? PRINTED : place.parentElement.clientWidth);
    const canvas = place.firstElementChild;
    const least = Math.min(1, LEAST_TEXT / smallestText(canvas));
    const whole = printing ? PRINTED_HEIGHT / height : 1;
    const scale = Math.max(Math.min(1, room / width, whole), printing ? 0 : least);
    canvas.style.width = `${width}px`;
    canvas.style.transform = scale < 1 ? `scale(${scale})` : "none";
    place.style.aspectRatio = "auto";
    place.style.height = `${Math.ceil(height * scale)}px`;
    const scrolls = width * scale > room + 1;
    place.classList.toggle("scrolls", scrolls);
    if (scrolls) place.tabIndex = 0;
    else place.removeAttribute("tabindex");
  };

  /** A trace with what a frame says of it. */
  const changed = (trace, said) => {
    const isParted = value => value !== null && typeof value === "object" && !Array.isArray(value);
    const whole = { ...trace };
    for (const [key, value] of Object.entries(said)) {
      whole[key] = isParted(value) && isParted(whole[key]) ? changed(whole[key], value) : value;
    }
    return whole;
  };

  const draw = place => {
    seen.unobserve(place);
    if (!figures) return;
    if (!place.querySelector(".js-plotly-plot")) place.replaceChildren(document.createElement("div"));
    const canvas = place.firstElementChild;
    const whole = figures[place.dataset.figure];
    const { data, layout, frames } = isDark() ? recoloured(whole, false, false) : whole;
    const steps = document.getElementById(`steps-${place.dataset.figure}`);
    const shown = [...data];
    if (steps && steps.value !== steps.defaultValue) {
      const step = frames.find(one => one.name === steps.value);
      step.traces.forEach((trace, k) => { shown[trace] = changed(shown[trace], step.data[k]); });
    }
    const touched = matchMedia("(pointer: coarse)").matches;
    const ink = isDark() ? "#e6e6e6" : "#222222";
    // a finger that moves over a figure scrolls the page
    const drawn = { ...layout, dragmode: touched ? false : layout.dragmode };
    // what a shape is drawn in that names no colour; plotly's own is made for white paper
    drawn.shapes = layout.shapes?.map(one => ({ ...one, line: { color: ink, ...one.line } }));
    // plotly writes into what it is given
    Plotly.newPlot(canvas, structuredClone({ data: shown, layout: drawn, frames, config: CONFIG }));
    fit(place); // its letters are there now
    const title = document.getElementById(`title-${place.dataset.figure}`).textContent.trim();
    canvas.querySelectorAll("svg.main-svg").forEach((picture, number) => {
      if (number) return picture.setAttribute("aria-hidden", "true");
      picture.setAttribute("role", "img");
      picture.setAttribute("aria-label", title);
    });
  };

  const isDrawn = place => place.querySelector(".js-plotly-plot") !== null;

  const refit = place => {
    if (isDrawn(place)) fit(place);
  };

  // steps: a slider of the page moves the frames of its figure

  const AT_ONCE = { mode: "immediate", frame: { duration: 0, redraw: true }, transition: { duration: 0 } };

  const saySteps = steps => {
    const said = JSON.parse(steps.dataset.says)[steps.value];
    steps.setAttribute("aria-valuetext", said);
    document.getElementById(`said-${steps.dataset.moves}`).textContent = said;
  };

  const show = steps => {
    const place = document.querySelector(`.plot[data-figure="${steps.dataset.moves}"]`);
    saySteps(steps);
    if (isDrawn(place)) return Plotly.animate(place.firstElementChild, [steps.value], AT_ONCE);
  };

  const play = button => {
    const steps = document.getElementById(button.dataset.plays);
    if (button.timer) {
      button.timer = clearInterval(button.timer);
      button.textContent = "Play";
      return;
    }
    if (steps.value === steps.max) steps.value = 0;
    button.textContent = "Stop";
    button.timer = setInterval(() => {
      if (steps.value === steps.max) return play(button);
      steps.value = Number(steps.value) + 1;
      show(steps);
    }, 250);
  };

  /** A slider that nobody moved from one step to another, for paper and back. */
  const forPaper = (from, to) => document.querySelectorAll(".steps input[data-printed]").forEach(steps => {
    const stepOf = { screen: steps.defaultValue, paper: steps.dataset.printed };
    if (steps.value !== stepOf[from]) return;
    steps.value = stepOf[to];
    saySteps(steps);
  });

  document.querySelectorAll(".steps input").forEach(steps => {
    steps.value = steps.defaultValue; // a browser that comes back to a page keeps what was set
    steps.addEventListener("input", () => show(steps));
  });
  document.querySelectorAll(".steps button").forEach(button => {
    button.addEventListener("click", () => play(button));
  });

  // what is wider than the page scrolls by keyboard, too

  const reachable = () => document.querySelectorAll(".wide").forEach(box => {
    box.classList.toggle("scrolls", box.scrollWidth > box.clientWidth + 1);
    if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  });

  // a figure is drawn when it comes near: of many tasks there are hundreds

  const seen = new IntersectionObserver(
    entries => entries.filter(entry => entry.isIntersecting).forEach(entry => draw(entry.target)),
    { rootMargin: "1200px" },
  );
  let waiting = 0;
  const resized = new ResizeObserver(() => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => { places.forEach(refit); reachable(); });
  });
  const anew = () => places.filter(isDrawn).forEach(draw);
  wantsDark.addEventListener("change", anew);
  addEventListener("beforeprint", () => {
    printing = true;
    // the code of a bench is wider than paper, and the model beside the page has its numbers
    const shut = document.querySelectorAll("details:not([data-xor-mi-bench] *)");
    shut.forEach(one => { one.open = true; });
    forPaper("screen", "paper");
    places.forEach(draw);
  });
  addEventListener("afterprint", () => {
    printing = false;
    forPaper("paper", "screen");
    anew();
  });

  const say = text => document.querySelectorAll(".plot, [data-xor-mi-bench]").forEach(place => {
    const words = document.createElement("p");
    words.textContent = text;
    place.replaceChildren(words);
  });

  const run = (text, type) => {
    const script = document.createElement("script");
    if (type) script.type = type;
    script.textContent = text;
    document.head.append(script);
  };

  const start = async () => {
    reachable();
    resized.observe(document.body);
    if (typeof DecompressionStream === "undefined") {
      say("This browser cannot unpack what this page shows: it has no DecompressionStream, which Chrome has from version 80, Firefox from 113, Safari from 16.4. All words, tables and numbers are there.");
      return;
    }
    if (document.getElementById("packed-module")) run(await unpack("packed-module"), "module");
    if (!places.length) return;
    const [library, drawings] = await Promise.all([unpack("packed-plotly"), unpack("packed-figures")]);
    run(library);
    const { templates, figures: packed } = JSON.parse(drawings);
    for (const one of Object.values(packed)) one.layout.template = templates[one.layout.template];
    figures = packed;
    document.documentElement.dataset.figures = "unpacked";
    if (printing) places.forEach(draw);
    else places.forEach(place => seen.observe(place));
  };
  start();
})();
