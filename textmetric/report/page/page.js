"use strict";
(() => {
  const STEPS = 65535; // a coordinate of 1
  const FARTHEST_ZOOM = 60;
  const DRAG = 4; // pixels: less is a click
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const one = (selector, within = document) => within.querySelector(selector);
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const json = (id) => JSON.parse(document.getElementById(id).textContent);

  // What the reader chose to see: null is the mean of all seeds, else a place among them.
  let seed = null;
  const hiddenSamplers = new Set();

  /* ---- theme ---- */

  const system = matchMedia("(prefers-color-scheme: dark)");
  const themeButton = one(".theme");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);

  function showTheme() {
    root.toggleAttribute("data-dark", isDark());
    themeButton.setAttribute("aria-pressed", String(isDark()));
    maps.forEach((map) => map.recolour());
  }

  /* ---- contents ---- */

  function contents() {
    const drawer = one(".side details");
    const wide = matchMedia("(min-width: 64rem)");
    const fit = () => { drawer.open = wide.matches; };
    wide.addEventListener("change", fit);
    fit();
    drawer.addEventListener("click", (event) => {
      if (event.target.closest("nav a") && !wide.matches) drawer.open = false;
    });
    drawer.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !wide.matches && drawer.open) {
        drawer.open = false;
        one("summary", drawer).focus();
      }
    });
    const links = new Map(all("nav a").map((link) => [link.getAttribute("href").slice(1), link]));
    const inSight = new Set();
    const sections = all("main > section");
    const watch = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting) inSight.add(entry.target);
        else inSight.delete(entry.target);
      }
      const first = sections.find((section) => inSight.has(section));
      if (!first) return;
      for (const [anchor, link] of links) {
        if (anchor === first.id) link.setAttribute("aria-current", "location");
        else link.removeAttribute("aria-current");
      }
    }, { rootMargin: "-8% 0px -70% 0px" });
    sections.forEach((section) => watch.observe(section));
  }

  /* ---- tables ---- */

  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  class Table {
    constructor(box) {
      this.box = box;
      this.body = one("tbody", box);
      this.rows = all("tr", this.body);
      this.heads = all("thead th", box);
      this.heads.forEach((head, column) =>
        one("button", head).addEventListener("click", () => this.next(column)));
      this.reach();
    }

    /** A box that scrolls must be reached by the keyboard; another one need not. */
    reach() {
      const scrolls = this.box.scrollWidth > this.box.clientWidth + 1
        || this.box.scrollHeight > this.box.clientHeight + 1;
      if (scrolls) this.box.tabIndex = 0;
      else this.box.removeAttribute("tabindex");
    }

    /** One order, the other, as it was. Numbers begin with the largest. */
    next(column) {
      const head = this.heads[column];
      const orders = head.classList.contains("number")
        ? ["descending", "ascending", "none"] : ["ascending", "descending", "none"];
      const now = head.getAttribute("aria-sort");
      this.heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", orders[(orders.indexOf(now) + 1) % 3]);
      this.sort();
    }

    sort() {
      const column = this.heads.findIndex((head) => head.getAttribute("aria-sort") !== "none");
      if (column < 0) {
        this.body.append(...this.rows);
        return;
      }
      const sign = this.heads[column].getAttribute("aria-sort") === "ascending" ? 1 : -1;
      const keyed = this.rows.map((row) => [key(row.cells[column]), row]);
      keyed.sort(([a], [b]) => {
        const missing = (a === null) - (b === null);
        if (missing || a === null) return missing; // what has no value stays at the end
        if (typeof a === "number" && typeof b === "number") return sign * (a - b);
        return sign * collator.compare(String(a), String(b));
      });
      this.body.append(...keyed.map(([, row]) => row));
    }

    showSeed() {
      for (const cell of all("[data-seeds]", this.body)) {
        const mean = cell.firstElementChild;
        let single = cell.children[1];
        if (seed !== null && !single) single = cell.appendChild(document.createElement("span"));
        mean.hidden = seed !== null;
        if (single) {
          single.hidden = seed === null;
          single.textContent = seed === null ? "" : JSON.parse(cell.dataset.seeds)[seed];
        }
      }
      this.sort();
    }
  }

  /** What a cell is sorted by: its value, a number that it shows, or its words. */
  function key(cell) {
    if (seed !== null && cell.dataset.seeds) {
      const value = Number(JSON.parse(cell.dataset.seeds)[seed]);
      return Number.isNaN(value) ? null : value;
    }
    if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
    const text = cell.textContent.trim();
    if (!cell.classList.contains("number")) return text;
    const value = parseFloat(text.replaceAll(",", "").replace("−", "-"));
    return Number.isNaN(value) ? null : value;
  }

  /* ---- maps: drawing ---- */

  const VERTEX = `
    precision highp float;
    attribute vec2 place;
    attribute float kind;
    attribute vec4 look;
    uniform vec3 view;       // left, top, scale
    uniform float chosen;    // a class, or -1
    uniform float layer;     // 0 below, 1 above
    uniform float size;
    uniform vec4 faded;
    uniform float opacity;
    varying vec4 colour;
    varying float shape;
    varying float edge;
    void main() {
      shape = floor(look.a * 255.0 + 0.5);
      float above = chosen < 0.0 ? float(shape > 2.5) : float(abs(kind - chosen) < 0.5);
      vec2 at = (vec2(place.x, 1.0 - place.y) - view.xy) * view.z;
      gl_Position = vec4(at.x * 2.0 - 1.0, 1.0 - at.y * 2.0, 0.0, 1.0);
      if (abs(above - layer) > 0.5) gl_Position = vec4(2.0, 2.0, 2.0, 1.0); // the other pass
      float side = size * (shape > 2.5 ? 1.5 : shape > 1.5 ? 1.2 : 1.0) * (chosen >= 0.0 && above > 0.5 ? 1.2 : 1.0);
      gl_PointSize = side + 2.0;
      edge = 2.0 / (side + 2.0);
      colour = chosen >= 0.0 && above < 0.5 ? faded : vec4(look.rgb, opacity);
    }`;
  const FRAGMENT = `
    precision mediump float;
    varying vec4 colour;
    varying float shape;
    varying float edge;
    void main() {
      vec2 at = vec2(gl_PointCoord.x, 1.0 - gl_PointCoord.y) * 2.0 - 1.0;
      float inside = 1.0 - edge;
      float out_by = length(at) - inside;
      if (shape > 2.5) out_by = max(-at.y, abs(at.x) * 0.866 + at.y * 0.5) - inside * 0.56;
      else if (shape > 1.5) out_by = (abs(at.x) + abs(at.y) - inside) * 0.7071;
      else if (shape > 0.5) out_by = max(abs(at.x), abs(at.y)) - inside * 0.88;
      float cover = colour.a * (1.0 - smoothstep(-edge, edge, out_by));
      gl_FragColor = vec4(colour.rgb * cover, cover);
    }`;

  /**
   * Draws dots with WebGL. There is one for the whole page, whatever the number of panels:
   * browsers keep about sixteen contexts and drop the oldest. A panel copies what was drawn.
   */
  class GlRenderer {
    static create() {
      const canvas = document.createElement("canvas");
      const gl = canvas.getContext("webgl", { antialias: false, depth: false });
      if (!gl) return null;
      const renderer = new GlRenderer();
      renderer.name = "webgl";
      renderer.canvas = canvas;
      renderer.gl = gl;
      renderer.begin();
      canvas.addEventListener("webglcontextlost", (event) => {
        event.preventDefault();
        renderer.lost = true;
      });
      canvas.addEventListener("webglcontextrestored", () => {
        renderer.begin();
        maps.forEach((map) => map.draw());
      });
      return renderer;
    }

    begin() {
      const { gl } = this;
      this.lost = false;
      this.buffers = new WeakMap();
      const program = gl.createProgram();
      for (const [type, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
        const shader = gl.createShader(type);
        gl.shaderSource(shader, source);
        gl.compileShader(shader);
        gl.attachShader(program, shader);
      }
      gl.linkProgram(program);
      gl.useProgram(program);
      this.at = {};
      for (const name of ["view", "chosen", "layer", "size", "faded", "opacity"]) {
        this.at[name] = gl.getUniformLocation(program, name);
      }
      for (const name of ["place", "kind", "look"]) {
        this.at[name] = gl.getAttribLocation(program, name);
        gl.enableVertexAttribArray(this.at[name]);
      }
      gl.enable(gl.BLEND);
      gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    }

    /** The values on the graphics card: sent once, forgotten with the array. */
    bind(name, values, width, type, normalised) {
      const { gl } = this;
      let buffer = this.buffers.get(values);
      if (!buffer) {
        buffer = gl.createBuffer();
        gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
        gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
        this.buffers.set(values, buffer);
      }
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.vertexAttribPointer(this.at[name], width, type, normalised, 0, 0);
    }

    draw(context, dots) {
      const { gl, canvas } = this;
      const { side } = dots;
      if (canvas.width < side) canvas.width = canvas.height = side;
      gl.viewport(0, 0, side, side);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT);
      this.bind("place", dots.points, 2, gl.UNSIGNED_SHORT, true);
      this.bind("kind", dots.kinds, 1, gl.FLOAT, false);
      this.bind("look", dots.looks, 4, gl.UNSIGNED_BYTE, true);
      gl.uniform3f(this.at.view, dots.view.x, dots.view.y, dots.view.scale);
      gl.uniform1f(this.at.chosen, dots.chosen ?? -1);
      gl.uniform1f(this.at.size, dots.size);
      gl.uniform1f(this.at.opacity, dots.opacity);
      gl.uniform4f(this.at.faded, ...dots.faded.map((part) => part / 255), dots.fadedOpacity);
      for (const layer of [0, 1]) {
        gl.uniform1f(this.at.layer, layer);
        gl.drawArrays(gl.POINTS, 0, dots.kinds.length);
      }
      context.clearRect(0, 0, side, side);
      context.drawImage(canvas, 0, canvas.height - side, side, side, 0, 0, side, side);
    }
  }

  /** The same picture without a graphics card, slower. */
  const plainRenderer = {
    name: "canvas",
    lost: false,
    draw(context, dots) {
      const { points, kinds, looks, view, side, chosen } = dots;
      context.clearRect(0, 0, side, side);
      for (const layer of [0, 1]) {
        for (let row = 0; row < kinds.length; row += 1) {
          const shape = looks[4 * row + 3];
          const above = chosen === null ? shape === 3 : kinds[row] === chosen;
          if (above !== Boolean(layer)) continue;
          const x = (points[2 * row] / STEPS - view.x) * view.scale * side;
          const y = (1 - points[2 * row + 1] / STEPS - view.y) * view.scale * side;
          const half = dots.size / 2 * (shape === 3 ? 1.5 : shape === 2 ? 1.2 : 1);
          if (x < -half || y < -half || x > side + half || y > side + half) continue;
          const fades = chosen !== null && !above;
          const [red, green, blue] = fades ? dots.faded : looks.subarray(4 * row, 4 * row + 3);
          context.fillStyle = `rgb(${red} ${green} ${blue})`;
          context.globalAlpha = fades ? dots.fadedOpacity : dots.opacity;
          context.beginPath();
          if (shape === 0) context.arc(x, y, half, 0, 7);
          else if (shape === 1) context.rect(x - half * .88, y - half * .88, half * 1.76, half * 1.76);
          else {
            const corners = shape === 2 ? [[0, -1], [1, 0], [0, 1], [-1, 0]]
              : [[0, -1], [.97, .56], [-.97, .56]];
            corners.forEach(([right, down]) => context.lineTo(x + half * right, y + half * down));
          }
          context.fill();
        }
      }
      context.globalAlpha = 1;
    },
  };

  let glRenderer;
  function renderer() {
    if (glRenderer === undefined) glRenderer = GlRenderer.create();
    return glRenderer && !glRenderer.lost ? glRenderer : plainRenderer;
  }

  /* ---- maps: finding ---- */

  /** The dots by the square they lie in, so that a few squares tell the nearest. */
  class Grid {
    constructor(points) {
      const count = points.length / 2;
      this.points = points;
      this.side = clamp(Math.ceil(Math.sqrt(count / 2)), 1, 256);
      const cells = new Uint32Array(count);
      this.starts = new Uint32Array(this.side * this.side + 1);
      for (let row = 0; row < count; row += 1) {
        cells[row] = this.cell(points[2 * row + 1]) * this.side + this.cell(points[2 * row]);
        this.starts[cells[row] + 1] += 1;
      }
      for (let cell = 1; cell < this.starts.length; cell += 1) {
        this.starts[cell] += this.starts[cell - 1];
      }
      const next = this.starts.slice();
      this.rows = new Uint32Array(count);
      for (let row = 0; row < count; row += 1) this.rows[next[cells[row]]++] = row;
    }

    cell(value) {
      return clamp(Math.floor(value / (STEPS + 1) * this.side), 0, this.side - 1);
    }

    /** The row nearest to (x, y) and no farther than reach, all in steps; null if there is none. */
    nearest(x, y, reach) {
      let best = null;
      let least = reach * reach;
      for (let down = this.cell(y - reach); down <= this.cell(y + reach); down += 1) {
        const from = this.starts[down * this.side + this.cell(x - reach)];
        const to = this.starts[down * this.side + this.cell(x + reach) + 1];
        for (let at = from; at < to; at += 1) {
          const row = this.rows[at];
          const distance = (this.points[2 * row] - x) ** 2 + (this.points[2 * row + 1] - y) ** 2;
          if (distance <= least) {
            least = distance;
            best = row;
          }
        }
      }
      return best;
    }
  }

  /** The nearest row within 45 degrees of a direction, seen from a row; null if there is none. */
  function neighbour(points, from, right, up) {
    let best = null;
    let least = Infinity;
    for (let row = 0; row < points.length / 2; row += 1) {
      const x = points[2 * row] - points[2 * from];
      const y = points[2 * row + 1] - points[2 * from + 1];
      const ahead = x * right + y * up;
      const distance = x * x + y * y;
      if (ahead > 0 && 2 * ahead * ahead >= distance && distance < least) {
        least = distance;
        best = row;
      }
    }
    return best;
  }

  /* ---- maps: panels ---- */

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

  class Panel {
    constructor(map, plot) {
      this.map = map;
      this.plot = plot;
      this.canvas = one("canvas", plot);
      this.ring = one(".ring", plot);
      this.resetButton = one(".reset", plot.parentElement);
      this.view = { x: 0, y: 0, scale: 1 };
      this.fingers = new Map();
      this.near = false;
      this.resetButton.addEventListener("click", () => {
        this.reset();
        this.plot.focus({ preventScroll: true });
      });
      this.listen();
    }

    /** The dots of the seed that is shown. */
    get points() { return this.map.points(Number(this.plot.dataset.arm)); }

    get grid() {
      const { points } = this;
      if (!points.grid) points.grid = new Grid(points);
      return points.grid;
    }

    get width() { return this.plot.clientWidth; }

    /** (x, y) in pixels of the panel of a row. */
    at(row) {
      const { view, points, width } = this;
      return [
        (points[2 * row] / STEPS - view.x) * view.scale * width,
        (1 - points[2 * row + 1] / STEPS - view.y) * view.scale * width,
      ];
    }

    draw() {
      if (!this.near || !this.width) return;
      const dense = Math.min(window.devicePixelRatio || 1, 2);
      const side = Math.round(this.width * dense);
      if (this.canvas.width !== side) this.canvas.width = this.canvas.height = side;
      const { view, map } = this;
      const count = map.kinds.length;
      const small = clamp(190 / Math.sqrt(count), 1.7, 6.5) * Math.min(1, this.width / 420);
      const by = renderer();
      by.draw(this.canvas.getContext("2d"), {
        points: this.points,
        kinds: map.kinds,
        looks: map.looks,
        chosen: map.chosen,
        view,
        side,
        size: Math.max(1.6, Math.min(small * view.scale ** .4, 11)) * dense,
        opacity: count > 20000 ? .6 : .78,
        faded: isDark() ? [150, 150, 158] : [120, 120, 125],
        fadedOpacity: count > 20000 ? .06 : .16,
      });
      this.plot.dataset.drawnBy = by.name;
      this.showRing();
      if (map.pointing === this) map.placeTip();
    }

    /** Memory for the panels in sight alone. */
    rest() {
      this.near = false;
      this.canvas.width = this.canvas.height = 0;
    }

    showRing() {
      const { row, looks } = this.map;
      this.ring.hidden = true;
      if (row === null) return;
      const [x, y] = this.at(row);
      if (x < 0 || y < 0 || x > this.width || y > this.width) return;
      this.ring.hidden = false;
      this.ring.style.transform = `translate(${x}px, ${y}px)`;
      // The dot again, on top: others may lie on it.
      const colour = `rgb(${looks.subarray(4 * row, 4 * row + 3).join(" ")})`;
      this.ring.style.background = `radial-gradient(circle, ${colour} 3px, transparent 3.6px)`;
    }

    /** Show the window of the map that begins at (x, y), as shares, and no place outside. */
    look(x, y, scale) {
      const { view } = this;
      view.scale = clamp(scale, 1, FARTHEST_ZOOM);
      view.x = clamp(x, 0, 1 - 1 / view.scale);
      view.y = clamp(y, 0, 1 - 1 / view.scale);
      this.plot.classList.toggle("zoomed", view.scale > 1);
      this.resetButton.hidden = view.scale === 1;
      if (this.waits) return;
      this.waits = requestAnimationFrame(() => {
        this.waits = null;
        this.draw();
      });
    }

    reset() { this.look(0, 0, 1); }

    /** Zoom about a place in pixels, which stays where it is. */
    zoom(factor, x, y) {
      const { view, width } = this;
      const scale = clamp(view.scale * factor, 1, FARTHEST_ZOOM);
      const moved = 1 / view.scale - 1 / scale;
      this.look(view.x + x / width * moved, view.y + y / width * moved, scale);
    }

    move(right, down) {
      const { view, width } = this;
      this.look(view.x - right / width / view.scale, view.y - down / width / view.scale, view.scale);
    }

    /** The row under a place in pixels, within a reach in pixels. */
    under(x, y, reach) {
      const { view, width } = this;
      const step = STEPS / width / view.scale;
      const right = view.x * STEPS + x * step;
      const up = (1 - view.y) * STEPS - y * step;
      return this.grid.nearest(right, up, reach * step);
    }

    place(event) {
      const box = this.plot.getBoundingClientRect();
      return [event.clientX - box.left - 1, event.clientY - box.top - 1];
    }

    hover(event) {
      const [x, y] = this.place(event);
      const row = this.under(x, y, event.pointerType === "touch" ? 22 : 12);
      this.plot.classList.toggle("on-dot", row !== null);
      this.map.point(row, this);
      return row;
    }

    listen() {
      const { plot, fingers } = this;
      let travelled = 0;
      plot.addEventListener("pointerdown", (event) => {
        if (event.button > 0) return;
        if (!fingers.size) travelled = 0;
        fingers.set(event.pointerId, this.place(event));
        if (event.pointerType === "mouse") plot.setPointerCapture(event.pointerId);
        plot.focus({ preventScroll: true });
      });
      plot.addEventListener("pointermove", (event) => {
        const before = fingers.get(event.pointerId);
        if (!before) {
          this.hover(event);
          return;
        }
        const now = this.place(event);
        const others = [...fingers].filter(([id]) => id !== event.pointerId);
        fingers.set(event.pointerId, now);
        const [right, down] = [now[0] - before[0], now[1] - before[1]];
        travelled += Math.hypot(right, down);
        if (travelled <= DRAG) return;
        this.map.point(null, this);
        if (!others.length) {
          this.move(right, down);
          return;
        }
        // Two fingers: the far one stays, the near one stretches the map.
        const [, other] = others[0];
        const length = (from) => Math.hypot(from[0] - other[0], from[1] - other[1]) || 1;
        this.move(right / 2, down / 2);
        this.zoom(length(now) / length(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      });
      plot.addEventListener("pointerup", (event) => {
        const lifted = fingers.delete(event.pointerId);
        if (!lifted || fingers.size || travelled > DRAG) return;
        const row = this.hover(event);
        if (row !== null) this.map.choose(this.map.kinds[row]);
      });
      plot.addEventListener("pointercancel", (event) => fingers.delete(event.pointerId));
      plot.addEventListener("pointerleave", (event) => {
        if (event.pointerType === "mouse") this.map.point(null, this);
      });
      plot.addEventListener("blur", () => this.map.point(null, this));
      plot.addEventListener("dblclick", () => this.reset());
      plot.addEventListener("wheel", (event) => {
        const asked = event.ctrlKey || document.activeElement === plot;
        const factor = Math.exp(-event.deltaY * (event.deltaMode ? .05 : event.ctrlKey ? .01 : .002));
        // A whole map cannot become smaller: the page scrolls on.
        if (!asked || (this.view.scale === 1 && factor < 1 && !event.ctrlKey)) return;
        event.preventDefault();
        this.zoom(factor, ...this.place(event));
      }, { passive: false });
      plot.addEventListener("touchmove", (event) => {
        if (event.cancelable && (event.touches.length > 1 || this.view.scale > 1)) {
          event.preventDefault();
        }
      }, { passive: false });
      plot.addEventListener("keydown", (event) => this.press(event));
    }

    press(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const middle = this.width / 2;
      if (ARROWS[event.key]) this.step(...ARROWS[event.key]);
      else if (event.key === "+" || event.key === "=") this.zoom(1.5, middle, middle);
      else if (event.key === "-") this.zoom(1 / 1.5, middle, middle);
      else if (event.key === "0") this.reset();
      else if ((event.key === "Enter" || event.key === " ") && this.map.row !== null) {
        this.map.choose(this.map.kinds[this.map.row]);
      } else return;
      event.preventDefault();
    }

    /** Go to the nearest dot in a direction, or begin in the middle. */
    step(right, up) {
      const { width, view, points, map } = this;
      if (!map.kinds.length) return;
      const row = map.row === null
        ? this.under(width / 2, width / 2, 2 * width)
        : neighbour(points, map.row, right, up);
      if (row === null) return;
      const [x, y] = this.at(row);
      if (x < 0 || y < 0 || x > width || y > width) {
        this.look(
          points[2 * row] / STEPS - .5 / view.scale,
          1 - points[2 * row + 1] / STEPS - .5 / view.scale,
          view.scale,
        );
      }
      map.point(row, this);
      map.say(row);
    }
  }

  /* ---- maps: the panels of a split together ---- */

  const tip = one(".tip");
  const SHAPES = ["circle", "square", "diamond", "triangle"];
  let texts;

  function bytes(base64) {
    const binary = atob(base64);
    const array = new Uint8Array(binary.length);
    for (let at = 0; at < binary.length; at += 1) array[at] = binary.charCodeAt(at);
    return array.buffer;
  }

  /** A colour that is seen on a dark panel as well. */
  function lifted([red, green, blue]) {
    const light = (.2126 * red + .7152 * green + .0722 * blue) / 255;
    const share = clamp((.5 - light) * 1.1, 0, .45);
    return [red, green, blue].map((part) => Math.round(part + share * (255 - part)));
  }

  class SplitMap {
    constructor(figure) {
      this.figure = figure;
      this.seeds = JSON.parse(figure.dataset.seeds);
      this.row = null; // the dot that is pointed at
      this.pointing = null; // the panel where that is
      this.chosen = null; // the class that is highlighted
      this.said = one(".said", figure);
      this.buttons = all(".legend button", figure);
      this.panels = all(".plot", figure).map((plot) => new Panel(this, plot));
      this.byPlot = new Map(this.panels.map((panel) => [panel.plot, panel]));
      this.legend();
      figure.addEventListener("keydown", (event) => {
        if (event.key !== "Escape") return;
        this.choose(null);
        this.point(null);
      });
      const near = new IntersectionObserver((entries) => {
        for (const { target, isIntersecting } of entries) {
          const panel = this.byPlot.get(target);
          if (!isIntersecting) panel.rest();
          else {
            this.load();
            panel.near = true;
            panel.draw();
          }
        }
      }, { rootMargin: "60% 0px" });
      const resized = new ResizeObserver((entries) =>
        entries.forEach(({ target }) => this.byPlot.get(target).draw()));
      this.panels.forEach(({ plot }) => {
        near.observe(plot);
        resized.observe(plot);
      });
      this.tellSeed();
    }

    /** Read the data: not before the map is near, since a page may have many. */
    load() {
      if (this.data) return;
      this.data = json(`page_map_${this.figure.dataset.map}`);
      this.kinds = Float32Array.from(new Uint32Array(bytes(this.data.classes)));
      this.textPlaces = new Uint32Array(bytes(this.data.texts));
      this.decoded = new Map();
      this.recolour();
    }

    /** The place among the seeds with a map of the seed that is shown, the first for want of it. */
    get seedPlace() {
      return Math.max(0, seed === null ? 0 : this.seeds.indexOf(seedNumber(seed)));
    }

    points(arm) {
      const place = this.seedPlace;
      const name = `${arm} ${place}`;
      if (!this.decoded.has(name)) {
        this.decoded.set(name, new Uint16Array(bytes(this.data.points[arm][place])));
      }
      return this.decoded.get(name);
    }

    tellSeed() {
      const shown = this.seeds[this.seedPlace];
      const words = one(".which-seed", this.figure);
      if (seed === null) words.textContent = `Maps have no mean: these are of seed ${shown}.`;
      else if (this.seeds.includes(seedNumber(seed))) words.textContent = `The maps of seed ${shown}.`;
      else {
        words.textContent = `Seed ${seedNumber(seed)} has no map: these are of seed ${shown}.`;
      }
    }

    showSeed() {
      this.tellSeed();
      this.point(null);
      this.panels.forEach((panel) => {
        panel.reset();
        panel.draw();
      });
    }

    recolour() {
      if (!this.data) return;
      const colours = this.data.looks.map(([colour, shape]) => {
        const parts = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
        return [...(isDark() ? lifted(parts) : parts), SHAPES.indexOf(shape)];
      });
      this.looks = new Uint8Array(4 * this.kinds.length);
      this.kinds.forEach((kind, row) => this.looks.set(colours[kind], 4 * row));
      this.buttons.forEach((button, kind) => {
        const [red, green, blue] = colours[kind];
        one("svg", button).setAttribute("fill", `rgb(${red} ${green} ${blue})`);
      });
      this.draw();
    }

    draw() { this.panels.forEach((panel) => panel.draw()); }

    /** Mark a row in all panels, with its text next to the dot that was pointed at. */
    point(row, panel) {
      if (!this.data || (row === null && this.row === null)) return;
      this.row = row;
      this.pointing = panel ?? null;
      this.panels.forEach((other) => other.showRing());
      tip.hidden = row === null;
      if (row === null) return;
      tip.replaceChildren(document.createElement("b"), document.createElement("span"));
      [tip.firstChild.textContent, tip.lastChild.textContent] = this.words(row);
      this.placeTip();
    }

    /** Put the text above its dot, or below where there is no room. */
    placeTip() {
      const { plot, ring } = this.pointing;
      tip.hidden = ring.hidden;
      if (ring.hidden) return;
      const box = plot.getBoundingClientRect();
      const [x, y] = this.pointing.at(this.row);
      const { offsetWidth, offsetHeight } = tip;
      const left = clamp(box.left + x - offsetWidth / 2, 8, root.clientWidth - offsetWidth - 8);
      const above = box.top + y - offsetHeight - 16;
      const top = above > 8 ? above : box.top + y + 18;
      tip.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
    }

    /** The class and the text of a row. */
    words(row) {
      texts ??= json("page_texts");
      const scarce = this.data.looks[this.kinds[row]][1] === "triangle" ? " (scarce)" : "";
      return [
        this.data.looks[this.kinds[row]][2] + scarce,
        texts[this.textPlaces[row]] || "(no text)",
      ];
    }

    say(row) { this.said.textContent = this.words(row).join(": "); }

    /** Highlight a class in all panels; the same class again, or null, ends it. */
    choose(kind) {
      const next = kind === this.chosen ? null : kind;
      if (next === this.chosen) return;
      this.chosen = next;
      this.buttons.forEach((button, place) =>
        button.setAttribute("aria-pressed", String(place === next)));
      this.said.textContent = next === null ? "no class highlighted"
        : `${this.data.looks[next][2]} highlighted`;
      this.draw();
    }

    /** One stop for the tab key; arrow keys go from class to class. */
    legend() {
      const { buttons } = this;
      const bar = one("[role=toolbar]", this.figure);
      const stop = (button) => buttons.forEach((other) => {
        other.tabIndex = other === button ? 0 : -1;
      });
      stop(buttons[0]);
      bar.addEventListener("click", (event) => {
        const button = event.target.closest("button");
        if (!button) return;
        stop(button);
        this.load();
        this.choose(Number(button.dataset.class));
      });
      bar.addEventListener("keydown", (event) => {
        const shown = buttons.filter((button) => !button.hidden);
        const at = shown.indexOf(document.activeElement);
        const to = {
          ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1,
          Home: 0, End: shown.length - 1,
        }[event.key];
        if (to === undefined || !shown[to]) return;
        stop(shown[to]);
        shown[to].focus();
        event.preventDefault();
      });
      one(".legend input", this.figure)?.addEventListener("input", (event) => {
        const typed = event.target.value.trim().toLowerCase();
        buttons.forEach((button) => {
          button.hidden = !button.textContent.toLowerCase().includes(typed);
        });
        stop(buttons.find((button) => !button.hidden));
      });
    }
  }

  /* ---- choices ---- */

  const seedNumber = (place) =>
    Number(one(`select[name=seed] option[value="${place}"]`).dataset.seed);

  function showSamplers() {
    for (const part of all("[data-sampler]")) {
      part.hidden = hiddenSamplers.has(part.dataset.sampler);
    }
    tables.forEach((table) => table.reach());
  }

  root.classList.add("js");
  one(".controls").hidden = false;
  const tables = all(".table").map((box) => new Table(box));
  const maps = [];
  maps.push(...all("figure.map").map((figure) => new SplitMap(figure)));
  contents();
  showTheme();

  system.addEventListener("change", showTheme);
  themeButton.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    showTheme();
  });
  one("select[name=seed]")?.addEventListener("change", (event) => {
    seed = event.target.value === "" ? null : Number(event.target.value);
    tables.forEach((table) => table.showSeed());
    maps.forEach((map) => map.showSeed());
  });
  all("input[name=sampler]").forEach((box) => box.addEventListener("change", () => {
    if (box.checked) hiddenSamplers.delete(box.value);
    else hiddenSamplers.add(box.value);
    showSamplers();
  }));
  one(".controls").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("resize", () => tables.forEach((table) => table.reach()));
  addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
})();
