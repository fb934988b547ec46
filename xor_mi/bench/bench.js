// The bench of xor_mi: a small Boolean network, its plane, table and conditions, moving together.
//
// One module, nothing to build and nothing to load. `mount(element, spec)` puts a bench into a
// page; the default export is the same for anywidget. `spec` is what `bench.bench_spec` returns.
// All numbers are computed here in float64, by the definitions of PyTorch's functions.

// ---------------------------------------------------------------------------------------------
// numbers as text

const LONG_NUMBER = 1e6;

/** More decimals than a tie can have, and as many as a browser writes. */
const ALL_DIGITS = 100;

/** Whether the digits that were dropped are exactly a half: one 5, and only zeros after it. */
const isTie = (short, long) => /5$/.test(short) && long.startsWith(short) && /^0*$/.test(long.slice(short.length));

/** Decimals as Python writes them: of a number exactly between two, the even one. */
function fixed(value, decimals) {
  const size = Math.abs(value);
  let text = size.toFixed(decimals);
  if (size < 1e21 && isTie(size.toFixed(decimals + 1), size.toFixed(ALL_DIGITS)) && /[13579]$/.test(text)) {
    text = size.toFixed(decimals + 1).slice(0, -1).replace(/\.$/, "");
  }
  return value < 0 ? `-${text}` : text;
}

/** The same as a mantissa of so many decimals, and the power of ten. */
function powered(value, decimals) {
  const size = Math.abs(value);
  let [mantissa, power] = size.toExponential(decimals).split("e");
  const [short, of] = size.toExponential(decimals + 1).split("e");
  if (isTie(short, size.toExponential(ALL_DIGITS).split("e")[0]) && /[13579]$/.test(mantissa)) {
    [mantissa, power] = [short.slice(0, -1).replace(/\.$/, ""), of];
  }
  return [value < 0 ? `-${mantissa}` : mantissa, Number(power)];
}

/** A number to so many decimals, which may be negative, as Python's `round` does. */
function rounded(value, decimals) {
  if (!value || !Number.isFinite(value)) return value || 0;
  const size = Math.abs(value);
  const [digits, power] = size.toExponential(ALL_DIGITS).split("e");
  const kept = Number(power) + decimals;
  if (kept >= ALL_DIGITS) return value;
  let result = 0;
  if (kept >= 0) result = Number(powered(size, kept).join("e"));
  // above the middle between nothing and one unit; the middle itself goes to nothing, which is even
  else if (kept === -1 && (digits[0] > "5" || (digits[0] === "5" && /[1-9]/.test(digits.slice(1))))) {
    result = Number(`1e${-decimals}`);
  }
  return result && value < 0 ? -result : result;
}

/** Digits as Python's format "g" writes them. */
function general(value, digits) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  if (value === 0) return "0";
  const [mantissa, exponent] = powered(value, digits - 1);
  const trim = text => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  if (exponent >= -4 && exponent < digits) {
    return trim(fixed(value, Math.max(0, digits - 1 - exponent)));
  }
  return `${trim(mantissa)}e${powerText(exponent)}`;
}

function powerText(exponent) {
  return (exponent < 0 ? "-" : "+") + String(Math.abs(exponent)).padStart(2, "0");
}

/** A float as Python writes it; read back, it is the same number. */
function exact(value) {
  if (value === 0) return "0.0";
  const [mantissa, power] = value.toExponential().split("e");
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16) return `${mantissa}e${powerText(exponent)}`;
  const text = String(value);
  return text.includes(".") ? text : `${text}.0`;
}

/** A number for reading: decimals, or three figures where those would show nothing of it. */
export function numberText(value, { decimals = 2, signed = false } = {}) {
  value = value + 0 || (value !== value ? NaN : 0);
  const size = Math.abs(value);
  const isPlain = !value || (size >= 10 ** -decimals && size < LONG_NUMBER);
  const text = isPlain ? fixed(value, decimals) : general(value, 3);
  return signed && value >= 0 ? `+${text}` : text;
}

/** A number beside others: with the decimals that show three figures of the largest of them. */
export function textBeside(value, most, { signed = false } = {}) {
  if (!Number.isFinite(value) || !most) return numberText(value, { signed: signed && Boolean(value) });
  const isPlain = most >= 1e-3 && most < LONG_NUMBER;
  const wanted = 2 - Math.floor(Math.log10(most));
  const decimals = isPlain ? Math.max(0, wanted) : wanted;
  const shown = rounded(value, decimals);
  const text = isPlain ? fixed(shown, decimals) : general(shown, 3);
  // a zero has no sign
  return signed && shown > 0 ? `+${text}` : text;
}

// ---------------------------------------------------------------------------------------------
// activation functions

/** No value of these activations is larger than this; a step's values are 0, 1 and -1 themselves. */
const BOUNDS = { relu6: 6, hardtanh: 1, hardsigmoid: 1, tanh: 1, sigmoid: 1, heaviside: 1, sign: 1 };

/** The error function, to the last few bits: a series of positive terms, then a fraction. */
export function erf(x) {
  const size = Math.abs(x);
  if (!(size < 6)) return x !== x ? NaN : Math.sign(x);
  if (size < 2.5) {
    // erf(x) = 2/sqrt(pi) exp(-x^2) (x + 2x^3/3 + 4x^5/(3*5) + ...)
    let term = size;
    let sum = size;
    for (let n = 1; term > 1e-18 * sum; n += 1) {
      term *= (2 * size * size) / (2 * n + 1);
      sum += term;
    }
    return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * Math.exp(-size * size) * sum;
  }
  // 1 - erf(x) = exp(-x^2)/sqrt(pi) / (x + (1/2)/(x + 1/(x + (3/2)/(x + ...))))
  let fraction = size;
  for (let n = 60; n > 0; n -= 1) fraction = size + n / 2 / fraction;
  return Math.sign(x) * (1 - Math.exp(-size * size) / Math.sqrt(Math.PI) / fraction);
}

const heaviside = (x, net) => (x !== x ? x : (net.step_at_zero ? x >= 0 : x > 0) ? 1 : 0);
const sigmoid = x => 1 / (1 + Math.exp(-x));
const between = (x, low, high) => (x < low ? low : x > high ? high : x);

export const ACTIVATIONS = {
  relu: x => (x < 0 ? 0 : x),
  leaky_relu: (x, net) => (x > 0 ? x : net.slope * x),
  relu6: x => between(x, 0, 6),
  hardtanh: x => between(x, -1, 1),
  hardsigmoid: x => between(x + 3, 0, 6) / 6,
  tanh: Math.tanh,
  sigmoid,
  softplus: x => (x > 20 ? x : Math.log1p(Math.exp(x))),
  elu: x => (x > 0 ? x : Math.expm1(x)),
  silu: x => x * sigmoid(x),
  gelu: x => (x * (1 + erf(x * Math.SQRT1_2))) / 2,
  gelu_tanh: x =>
    (x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)))) / 2,
  identity: x => x,
  heaviside,
  sign: (x, net) => 2 * heaviside(x, net) - 1,
};

/** Of activations made of straight pieces: where these meet, and each one's slope and constant. */
function piecesOf(name, net) {
  const pieces = {
    relu: [[0], [0, 1], [0, 0]],
    leaky_relu: [[0], [net.slope, 1], [0, 0]],
    relu6: [[0, 6], [0, 1, 0], [0, 0, 6]],
    hardtanh: [[-1, 1], [0, 1, 0], [-1, 0, 1]],
    hardsigmoid: [[-3, 3], [0, 1 / 6, 0], [0, 0.5, 1]],
    identity: [[], [1], [0]],
    heaviside: [[0], [0, 0], [0, 1]],
    sign: [[0], [0, 0], [-1, 1]],
  }[name];
  if (!pieces) return null;
  const [kinks, slopes, constants] = pieces;
  const isStep = name === "heaviside" || name === "sign";
  return { kinks, slopes, constants, isStep, kinkIsAbove: isStep && Boolean(net.step_at_zero) };
}

/** How many kinks a sum is past: 0 is off, 1 on, 2 full. */
function stateOf(pieces, pre) {
  return pieces.kinks.filter(kink => (pieces.kinkIsAbove ? pre >= kink : pre > kink)).length;
}

const MONOTONE = ["sigmoid", "tanh"];
const FLAT = 0.01;

/** Whether a unit is on a flat stretch of its function, where it hardly answers a small change. */
function isFlat(name, net, pre) {
  const pieces = piecesOf(name, net);
  if (pieces) return !pieces.isStep && pieces.slopes[stateOf(pieces, pre)] === 0;
  const f = ACTIVATIONS[name];
  return Math.abs(f(pre + 1e-4, net) - f(pre - 1e-4, net)) / 2e-4 < FLAT;
}

// ---------------------------------------------------------------------------------------------
// the network

/** Of each kind of float the binary digits, and the powers of two of its smallest and largest. */
const FLOATS = {
  float16: { digits: 11, least: -14, most: 15 },
  bfloat16: { digits: 8, least: -126, most: 127 },
  float32: { digits: 24, least: -126, most: 127 },
  float64: { digits: 53, least: -1022, most: 1023 },
};

/** The largest number that a kind of float has. */
const greatest = dtype => (2 - 2 ** (1 - FLOATS[dtype].digits)) * 2 ** FLOATS[dtype].most;

/** A number as the network's own floats hold it: infinite where it is too large for them, 0 where
 * it is too small. */
export function held(value, dtype) {
  if (dtype === "float64" || value === 0 || !Number.isFinite(value)) return value;
  if (dtype === "float32") return Math.fround(value);
  const { digits, least } = FLOATS[dtype];
  const unit = 2 ** (Math.max(Math.floor(Math.log2(Math.abs(value))), least) - digits + 1);
  const count = value / unit;
  const low = Math.floor(count);
  const isUp = count - low > 0.5 || (count - low === 0.5 && low % 2 !== 0);
  const found = (isUp ? low + 1 : low) * unit;
  return Math.abs(found) > greatest(dtype) ? Math.sign(found) * Infinity : found;
}

/** A number as it was typed -> what the network holds of it, and why it cannot, if it cannot. */
export function typed(text, dtype) {
  const written = text.trim();
  const value = held(Number(written), dtype);
  if (!written || Number.isNaN(value)) return { value, reason: `not a number that ${dtype} holds` };
  if (!Number.isFinite(value)) {
    return { value, reason: `too large: ${dtype} holds numbers up to ${general(greatest(dtype), 6)}` };
  }
  // a digit other than 0 before the power of ten
  const isZero = !/[1-9]/.test(written.split(/e/i)[0]);
  const off = Math.abs(value - Number(written));
  if (!isZero && (value === 0 || off > 2 ** (1 - FLOATS[dtype].digits) * Math.abs(Number(written)))) {
    return { value, reason: `too small: ${dtype} would make ${general(value, 9)} of it` };
  }
  return { value: value || 0, reason: "" };
}

/** Weights in the order of the symbols -> per layer W [unit][source] and b [unit]. */
function layersOf(net, weights) {
  const layers = [];
  let at = 0;
  for (let l = 1; l < net.sizes.length; l += 1) {
    const isLast = l === net.sizes.length - 1;
    const width = net.sizes[l - 1] + (isLast && net.direct ? net.sizes[0] : 0);
    const W = [];
    for (let unit = 0; unit < net.sizes[l]; unit += 1) {
      W.push(Array.from(weights.slice(at, at + width)));
      at += width;
    }
    layers.push({ W, b: Array.from(weights.slice(at, at + net.sizes[l])) });
    at += net.sizes[l];
  }
  return layers;
}

/** Runs a network many times over without making new arrays. */
class Machine {
  constructor(net, weights) {
    this.net = net;
    this.layers = layersOf(net, weights);
    this.functions = net.activations.map(name => ACTIVATIONS[name]);
    this.pre = this.layers.map(layer => new Float64Array(layer.b.length));
    this.post = this.layers.map(layer => new Float64Array(layer.b.length));
    const { d_in, last } = { d_in: net.sizes[0], last: net.sizes.at(-2) };
    this.beside = new Float64Array(last + d_in);
    this.outputs = this.post.at(-1);
  }

  /** Sums and values of every unit on one input; they are overwritten by the next run. */
  run(input) {
    let value = input;
    const { net, layers } = this;
    for (let l = 0; l < layers.length; l += 1) {
      if (net.direct && l === layers.length - 1) {
        this.beside.set(value);
        this.beside.set(input, value.length);
        value = this.beside;
      }
      const { W, b } = layers[l];
      const pre = this.pre[l];
      const post = this.post[l];
      const f = this.functions[l];
      for (let unit = 0; unit < b.length; unit += 1) {
        const row = W[unit];
        let sum = 0;
        for (let source = 0; source < row.length; source += 1) sum += row[source] * value[source];
        pre[unit] = sum + b[unit];
        post[unit] = f(pre[unit], net);
      }
      value = post;
    }
    return this.outputs;
  }

  /** The score of one decision on one input, minus what it is held against. */
  distance(input, decision) {
    const outputs = this.run(input);
    return scoreOf(this.net, outputs, decision) - cutOf(this.net);
  }
}

const cutOf = net => (net.rule === "argmax" ? 0 : net.threshold);

function nDecisions(net) {
  const d_out = net.sizes.at(-1);
  return net.rule === "argmax" && d_out === 2 ? 1 : d_out;
}

/** The outputs that decisions are called by: of argmax over two it is the second. */
function decisionUnits(net) {
  const d_out = net.sizes.at(-1);
  return Array.from({ length: nDecisions(net) }, (_, k) => d_out - nDecisions(net) + k);
}

function scoreOf(net, outputs, decision) {
  if (net.rule === "threshold") return outputs[decision];
  if (outputs.length === 2) return outputs[1] - outputs[0];
  let other = -Infinity;
  for (let k = 0; k < outputs.length; k += 1) if (k !== decision) other = Math.max(other, outputs[k]);
  return outputs[decision] - other;
}

/** 1 above the cut, 0 below it, -1 exactly on it. */
function decide(score, cut) {
  return score === cut || score !== score ? -1 : score > cut ? 1 : 0;
}

/** All values of a network on one input: sums, activations, scores and decisions. */
export function evaluate(net, weights, input) {
  const machine = new Machine(net, weights || net.weights);
  machine.run(Float64Array.from(input));
  const outputs = Array.from(machine.outputs);
  const scores = Array.from({ length: nDecisions(net) }, (_, k) => scoreOf(net, outputs, k));
  return {
    pre: machine.pre.map(values => Array.from(values)),
    post: machine.post.map(values => Array.from(values)),
    outputs,
    scores,
    decisions: scores.map(score => decide(score, cutOf(net))),
  };
}

/** Of each layer the size of what its sums are made of, and of its values, as `values.own_scales`
 * and `values.own_value_scales` have them; `values` are those of every row. */
export function scalesOf(net, weights, values) {
  let ofSource = largest(net.levels);
  return layersOf(net, weights).map(({ W, b }, layer) => {
    if (net.direct && layer === net.sizes.length - 2) ofSource = Math.max(ofSource, largest(net.levels));
    const sums = Math.max(largest(W.flat()) * ofSource, largest(b));
    ofSource = largest(values.flatMap(at => at.post[layer])) || largest(values.flatMap(at => at.pre[layer]));
    return { sums, values: Math.min(sums, BOUNDS[net.activations[layer]] ?? Infinity) };
  });
}

/** Every row of bits, "00" first. */
export function rowsOf(net) {
  const n = net.sizes[0];
  return Array.from({ length: 2 ** n }, (_, number) =>
    Array.from({ length: n }, (_, k) => (number >> (n - 1 - k)) & 1)
  );
}

const atLevels = (net, bits) => bits.map(bit => net.levels[bit]);

/** The units that a layer reads, by name, in the order of its weights. */
function sourcesOf(net, layer) {
  const inputs = Array.from({ length: net.sizes[0] }, (_, k) => `x${k}`);
  if (layer === 0) return inputs;
  const units = Array.from({ length: net.sizes[layer] }, (_, k) => `h${layer - 1}.${k}`);
  return net.direct && layer === net.sizes.length - 2 ? [...units, ...inputs] : units;
}

function unitName(net, layer, unit) {
  if (layer < 0) return `x${unit}`;
  return layer === net.sizes.length - 2 ? `y${unit}` : `h${layer}.${unit}`;
}

// ---------------------------------------------------------------------------------------------
// conditions: what each row needs of the weights, as `margins.conditions` writes it

const LONGEST_WRITTEN = 400;

/** The readout above which an output is decided 1, where its function can be undone. */
function readoutCut(net) {
  const name = net.activations.at(-1);
  if (net.rule === "argmax" || !MONOTONE.includes(name)) return cutOf(net);
  const t = net.threshold;
  if (t <= (name === "sigmoid" ? 0 : -1)) return -Infinity;
  if (t >= 1) return Infinity;
  return name === "sigmoid" ? Math.log(t / (1 - t)) : Math.atanh(t);
}

/** One row's sums as text. */
class Writer {
  constructor(spec, net, layers, bits, states, inSymbols) {
    Object.assign(this, { net, layers, bits, states, inSymbols });
    this.symbols = new Map();
    for (const one of spec.symbols) this.symbols.set(`${one.layer} ${one.unit} ${one.source}`, one.symbol);
  }

  left(side) {
    const last = this.layers.length - 1;
    if (!side.function) return this.sum(last, side.unit, side.minus);
    const text = `${side.function}(${this.sum(last, side.unit, null)})`;
    if (side.minus === null) return text;
    return `${text} - ${side.function}(${this.sum(last, side.minus, null)})`;
  }

  sum(layer, unit, minus) {
    const bias = this.weight(layer, unit, null, minus);
    const join = terms => [...terms, bias].join(" + ").replaceAll("+ -", "- ");
    let text = join(this.terms(layer, unit, minus, false));
    if (layer > 0 && text.length > LONGEST_WRITTEN) text = join(this.terms(layer, unit, minus, true));
    return text;
  }

  weight(layer, unit, source, minus) {
    const own = this.entry(layer, unit, source);
    if (minus === null) return own;
    const other = this.entry(layer, minus, source);
    return other.startsWith("-") ? `(${own} + ${other.slice(1)})` : `(${own} - ${other})`;
  }

  entry(layer, unit, source) {
    if (this.inSymbols) return this.symbols.get(`${layer} ${unit} ${source}`);
    const { W, b } = this.layers[layer];
    return general(source === null ? b[unit] : W[unit][source], 4);
  }

  terms(layer, unit, minus, short) {
    const terms = [];
    sourcesOf(this.net, layer).forEach((name, number) => {
      const weight = this.weight(layer, unit, number, minus);
      if (name[0] === "x") {
        const value = this.net.given_levels[this.bits[Number(name.slice(1))]];
        if (value) terms.push(times(value, weight));
        return;
      }
      const [text, value] = this.activation(layer - 1, number, name, short);
      if (text) terms.push(`${weight}*${text}`);
      else if (value) terms.push(times(value, weight));
    });
    return terms;
  }

  activation(layer, unit, name, short) {
    const act = this.net.activations[layer];
    const pieces = piecesOf(act, this.net);
    if (!pieces) return [short ? name : `${act}(${this.sum(layer, unit, null)})`, 0];
    const state = this.states[layer][unit];
    const [slope, constant] = [pieces.slopes[state], pieces.constants[state]];
    if (!slope) return ["", constant];
    if (short) return [name, 0];
    return [sloped(this.sum(layer, unit, null), slope, constant), 0];
  }
}

function sloped(text, slope, constant) {
  let scaled = `${general(slope, 4)}*(${text})`;
  if (slope === 1) scaled = text.includes(" ") || text.startsWith("-") ? `(${text})` : text;
  else if (slope === 1 / 6) scaled = `(${text})/6`;
  return constant ? `(${scaled} + ${general(constant, 6)})` : scaled;
}

function times(value, weight) {
  if (value === 1) return weight;
  const isNegative = value < 0 !== weight.startsWith("-");
  const bare = weight.startsWith("-") ? weight.slice(1) : weight;
  const size = Math.abs(value);
  const text = size === 1 ? bare : `${exact(size).replace(/\.0$/, "")}*${bare}`;
  return isNegative ? `-${text}` : text;
}

/** The inequalities that make a network decide each row as its target does. */
export function conditionsOf(spec, net, weights) {
  if (!net.target) return [];
  const machine = new Machine(net, weights);
  const found = [];
  rowsOf(net).forEach((bits, number) => {
    machine.run(Float64Array.from(atLevels(net, bits)));
    const states = machine.pre.slice(0, -1).map((pre, layer) => {
      const pieces = piecesOf(net.activations[layer], net);
      return Array.from(pre, value => (pieces ? stateOf(pieces, value) : 0));
    });
    const writers = [true, false].map(
      inSymbols => new Writer(spec, net, machine.layers, bits, states, inSymbols)
    );
    decisionUnits(net).forEach((unit, decision) => {
      const wanted = Boolean(net.target.tables[decision][number]);
      for (const side of sidesOf(net, machine, unit, wanted)) {
        const right = `${wanted ? ">" : "<"} ${general(side.bound, 6)}`;
        const slack = wanted ? side.value - side.bound : side.bound - side.value;
        found.push({
          row: bits.join(""),
          place: `y${unit}`,
          inequality: `${writers[0].left(side)} ${right}`,
          numbers: `${writers[1].left(side)} ${right}`,
          value: side.value,
          slack,
          satisfied: slack > 0,
          // of a function that cannot be undone the sides are values, not sums
          isOfValues: Boolean(side.function),
        });
      }
    });
  });
  return found;
}

/** What one decision is held against: the threshold, every other output, or the best of them. */
function sidesOf(net, machine, unit, wanted) {
  const act = net.activations.at(-1);
  const [sums, outputs] = [machine.pre.at(-1), machine.post.at(-1)];
  if (net.rule === "threshold") {
    const cut = readoutCut(net);
    if (act === "identity" || (MONOTONE.includes(act) && Number.isFinite(cut))) {
      return [{ unit, minus: null, function: "", value: sums[unit], bound: cut }];
    }
    return [{ unit, minus: null, function: act, value: outputs[unit], bound: net.threshold }];
  }
  const isUndone = act === "identity" || MONOTONE.includes(act);
  const values = isUndone ? sums : outputs;
  let others = Array.from(values.keys()).filter(k => k !== unit);
  if (!wanted) others = [others.reduce((best, k) => (values[k] > values[best] ? k : best))];
  return others.map(minus => ({
    unit,
    minus,
    function: isUndone ? "" : act,
    value: values[unit] - values[minus],
    bound: 0,
  }));
}

/** Python that makes this network, number for number. */
export function codeOf(net, weights) {
  const list = values => `[${values.map(exact).join(", ")}]`;
  const matrix = rows => `[${rows.map(list).join(", ")}]`;
  const layers = layersOf(net, weights);
  const own = net.sizes.at(-2);
  const lines = layers.map((layer, l) => {
    const isLast = l === layers.length - 1;
    const W = isLast ? layer.W.map(row => row.slice(0, own)) : layer.W;
    return `        (${matrix(W)}, ${list(layer.b)}),`;
  });
  const settings = net.code.map(([name, value]) => `    ${name}=${value},`);
  if (net.direct) {
    settings.unshift(`    direct=${matrix(layers.at(-1).W.map(row => row.slice(own)))},`);
  }
  const names = settings.some(line => line.includes("BooleanFunction(")) ? "BooleanFunction, " : "";
  return [
    `from xor_mi import ${names}HookedMLP`,
    "",
    "model = HookedMLP.from_weights(",
    "    [",
    ...lines,
    "    ],",
    ...settings,
    ")",
    "",
  ].join("\n");
}

// ---------------------------------------------------------------------------------------------
// the plane of two inputs

const MOST_PIECES = 600;

/** An affine function [a, b, c] of the plane, a x + b y + c, at a point. */
const valueAt = (f, [x, y]) => f[0] * x + f[1] * y + f[2];

/** A convex ring cut along a line: the part above, the part below and the cut; null if uncut. */
function split(ring, f) {
  const values = ring.map(point => valueAt(f, point));
  const room = 1e-12 * (Math.abs(f[2]) + Math.max(...ring.map(p => Math.abs(f[0] * p[0]) + Math.abs(f[1] * p[1]))));
  if (values.every(v => v >= -room) || values.every(v => v <= room)) return null;
  const [above, below, cut] = [[], [], []];
  ring.forEach((point, k) => {
    const next = (k + 1) % ring.length;
    const [v, w] = [values[k], values[next]];
    if (v >= -room) above.push(point);
    if (v <= room) below.push(point);
    if (Math.abs(v) <= room) cut.push(point);
    if ((v > room && w < -room) || (v < -room && w > room)) {
      const share = v / (v - w);
      const crossing = [0, 1].map(axis => point[axis] + share * (ring[next][axis] - point[axis]));
      above.push(crossing);
      below.push(crossing);
      cut.push(crossing);
    }
  });
  return { above, below, cut };
}

const middleOf = ring => [0, 1].map(axis => ring.reduce((sum, p) => sum + p[axis], 0) / ring.length);

/** The pieces of the plane on which a network of straight units is affine, and where decisions
 * change; null for smooth units, or where there are too many pieces. */
function cutPlane(machine, { axes, held: heldAt, box, decision }) {
  const { net, layers } = machine;
  const kinds = net.activations.map(name => piecesOf(name, net));
  const last = layers.length - 1;
  const isUndone = MONOTONE.includes(net.activations[last]);
  const isCompared = net.rule === "argmax" && net.sizes.at(-1) > 2;
  if (kinds.slice(0, -1).includes(null) || !(kinds[last] || isUndone) || isCompared) return null;
  const inputs = heldAt.map((value, k) => [axes[0] === k ? 1 : 0, axes[1] === k ? 1 : 0, axes.includes(k) ? 0 : value]);
  const [[x0, x1], [y0, y1]] = box;
  let pieces = [{ ring: [[x0, y0], [x1, y0], [x1, y1], [x0, y1]], values: inputs }];
  const borders = [];
  for (let l = 0; l <= last; l += 1) {
    const { W, b } = layers[l];
    const kind = kinds[l] || piecesOf("identity", net);
    const next = [];
    for (const { ring, values } of pieces) {
      const read = net.direct && l === last ? [...values, ...inputs] : values;
      const sums = W.map((row, unit) => {
        const sum = [0, 0, b[unit]];
        row.forEach((weight, k) => read[k].forEach((part, n) => (sum[n] += weight * part)));
        return sum;
      });
      let rings = [ring];
      sums.forEach((sum, unit) => {
        kind.kinks.forEach(kink => {
          const f = [sum[0], sum[1], sum[2] - kink];
          rings = rings.flatMap(one => {
            const parts = split(one, f);
            if (!parts) return [one];
            if (parts.cut.length === 2) {
              borders.push({ unit: unitName(net, l, unit), layer: l, cut: parts.cut });
            }
            return [parts.above, parts.below];
          });
        });
      });
      for (const one of rings) {
        const middle = middleOf(one);
        const after = sums.map(sum => {
          const state = stateOf(kind, valueAt(sum, middle));
          const slope = kind.slopes[state];
          return [sum[0] * slope, sum[1] * slope, sum[2] * slope + kind.constants[state]];
        });
        next.push({ ring: one, values: after });
      }
    }
    pieces = next;
    if (pieces.length > MOST_PIECES) return null;
  }
  const cut = kinds[last] ? cutOf(net) : readoutCut(net);
  const edges = [];
  for (const { ring, values } of pieces) {
    const score = net.rule === "argmax" ? values[1].map((part, n) => part - values[0][n]) : values[decision].map((part, n) => (n === 2 ? part - cut : part));
    if (!Number.isFinite(score[2])) continue;
    const parts = split(ring, score);
    if (parts && parts.cut.length === 2) edges.push(parts.cut);
  }
  const corners = [...pieces.flatMap(piece => piece.ring), ...edges.flat()];
  edges.push(...jumps(machine, borders, corners, { axes, held: heldAt, box, decision }));
  return { pieces, borders, edges };
}

/** The parts of the borders on whose two sides something else is decided: of steps, and where a
 * score stays zero beside a border. */
function jumps(machine, borders, corners, { axes, held: heldAt, box, decision }) {
  const size = box[0][1] - box[0][0];
  const input = Float64Array.from(heldAt);
  const sign = (x, y) => {
    [input[axes[0]], input[axes[1]]] = [x, y];
    return Math.sign(machine.distance(input, decision));
  };
  const found = [];
  for (const { cut: [p, q] } of borders) {
    const way = [q[0] - p[0], q[1] - p[1]];
    const length = Math.hypot(...way);
    if (length < 1e-9 * size) continue;
    const normal = [(-way[1] / length) * 1e-6 * size, (way[0] / length) * 1e-6 * size];
    const stops = [0, 1];
    for (const corner of corners) {
      const from = [corner[0] - p[0], corner[1] - p[1]];
      const off = Math.abs(from[0] * way[1] - from[1] * way[0]) / length;
      const share = (from[0] * way[0] + from[1] * way[1]) / length ** 2;
      if (off < 1e-9 * size && share > 0 && share < 1) stops.push(share);
    }
    stops.sort((a, b) => a - b);
    for (let k = 1; k < stops.length; k += 1) {
      const middle = (stops[k - 1] + stops[k]) / 2;
      const [x, y] = [p[0] + middle * way[0], p[1] + middle * way[1]];
      if (sign(x + normal[0], y + normal[1]) !== sign(x - normal[0], y - normal[1])) {
        found.push([stops[k - 1], stops[k]].map(share => [p[0] + share * way[0], p[1] + share * way[1]]));
      }
    }
  }
  return found;
}

/** Where values on a grid pass zero: segments between neighbouring points, straight in each cell. */
function contour(values, n, box) {
  const [[x0, x1], [y0, y1]] = box;
  const place = (i, j) => [x0 + ((i + 0.5) / n) * (x1 - x0), y0 + ((j + 0.5) / n) * (y1 - y0)];
  const segments = [];
  for (let j = 0; j + 1 < n; j += 1) {
    for (let i = 0; i + 1 < n; i += 1) {
      const corners = [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]];
      const v = corners.map(([a, b]) => values[b * n + a]);
      const isAbove = v.map(value => value > 0);
      if (isAbove[0] === isAbove[1] && isAbove[1] === isAbove[2] && isAbove[2] === isAbove[3]) continue;
      const crossings = [];
      for (let k = 0; k < 4; k += 1) {
        const m = (k + 1) % 4;
        if (isAbove[k] === isAbove[m]) continue;
        const share = v[k] / (v[k] - v[m]);
        const [p, q] = [place(...corners[k]), place(...corners[m])];
        crossings.push([p[0] + share * (q[0] - p[0]), p[1] + share * (q[1] - p[1])]);
      }
      for (let k = 0; k + 1 < crossings.length; k += 2) segments.push([crossings[k], crossings[k + 1]]);
    }
  }
  return segments;
}

/** Whether four neighbouring values of a grid are zero: a line that is passed through points is no area. */
function isZeroSomewhere(values, n) {
  for (let j = 0; j + 1 < n; j += 1) {
    for (let i = 0; i + 1 < n; i += 1) {
      const at = j * n + i;
      if (!values[at] && !values[at + 1] && !values[at + n] && !values[at + n + 1]) return true;
    }
  }
  return false;
}

/** The part of the line a x + b y + c = 0 inside a box; null where it passes by. */
function lineIn(f, box) {
  const [[x0, x1], [y0, y1]] = box;
  const parts = split([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], f);
  return parts && parts.cut.length === 2 ? parts.cut : null;
}

// ---------------------------------------------------------------------------------------------
// the look; every rule is for what stands inside .xmb, and stronger than a page's rules for its tables

const LIGHT = `--ink: #222; --paper: #fff; --soft: #f6f6f6; --line: #ddd; --quiet: #555; --field: #8a8a8a;
  --pos: #2166ac; --neg: #b2182b; --glow: #9fcbf5; --ember: #f8b9b0; --mark: #fff0b8; --ring: #a06000; color-scheme: light;`;
const DARK = `--ink: #e6e6e6; --paper: #16181c; --soft: #22252b; --line: #3a3e46; --quiet: #a8adb5; --field: #7d838d;
  --pos: #7db8f2; --neg: #ff938a; --glow: #1d5a94; --ember: #8a2f2a; --mark: #4a4012; --ring: #f0c050; color-scheme: dark;`;

/** Rules with a selector of three more classes, which those of a notebook do not outdo. */
const strengthened = rules => rules
  .replace(/(^\s*|[{},]\s*)\.xmb-/gm, "$1.xmb.xmb.xmb .xmb-")
  .replace(/(^\s*|[{},]\s*)\.xmb (?!\{)/gm, "$1.xmb.xmb.xmb.xmb ");

const CSS = strengthened(`
.xmb { ${LIGHT} container: xmb / inline-size; color: var(--ink); background: var(--paper); font: 14px/1.45 system-ui, sans-serif; text-align: left; }
@media (prefers-color-scheme: dark) { .xmb { ${DARK} } }
[data-jp-theme-light="true"] .xmb, [data-vscode-theme-kind="vscode-light"] .xmb { ${LIGHT} }
[data-jp-theme-light="false"] .xmb, [data-vscode-theme-kind="vscode-dark"] .xmb { ${DARK} }
.xmb.xmb-on-paper { ${LIGHT} }
@media print { .xmb.xmb { ${LIGHT} } }
.xmb, .xmb *, .xmb *::before { box-sizing: border-box; }
.xmb p, .xmb figure, .xmb fieldset, .xmb ul { margin: 0; padding: 0; border: 0; min-width: 0; max-width: none; list-style: none; }
/* what a page's own rules for tables, lists and code could change */
.xmb :where(table, thead, tbody, tr, th, td, ul, li, code, pre, label, legend, summary, b, span) { margin: 0; padding: 0; border: 0; background: none; color: inherit; font: inherit; letter-spacing: inherit; line-height: inherit; text-align: inherit; text-transform: none; max-width: none; min-width: 0; box-shadow: none; }
.xmb b { font-weight: 700; }
.xmb table { table-layout: auto; display: table; }
.xmb svg { max-width: none; margin: 0; }
.xmb-all { display: grid; gap: 10px; grid-template-columns: minmax(0, 1fr); padding: 2px; }
.xmb-head { display: flex; flex-wrap: wrap; gap: 6px 16px; align-items: center; justify-content: space-between; background: var(--soft); border-left: 4px solid var(--ink); padding: 8px 12px; }
.xmb-says { flex: 1 1 22rem; min-width: 0; }
.xmb-now { font-size: 16px; font-weight: 600; overflow-wrap: anywhere; }
.xmb-found { color: var(--quiet); overflow-wrap: anywhere; }
.xmb-found b { color: var(--ink); }
/* an answer that takes longer than a move may wait is pale until it comes */
.xmb-found { transition: opacity 80ms linear; }
.xmb-waiting { opacity: 0.5; transition-delay: 150ms; }
.xmb-tools { display: flex; flex-wrap: wrap; gap: 6px; align-items: center; }
.xmb button, .xmb select, .xmb input[type=number] { font: inherit; color: var(--ink); background: var(--paper); border: 1px solid var(--field); border-radius: 5px; padding: 3px 8px; margin: 0; }
.xmb button { cursor: pointer; min-height: 30px; }
.xmb button:hover { background: var(--soft); }
.xmb select { max-width: 12rem; min-height: 30px; }
.xmb :focus-visible { outline: 2px solid var(--ring); outline-offset: 2px; }
.xmb-side { display: contents; }
.xmb-net { order: 1; } .xmb-plane { order: 2; } .xmb-weights { order: 3; } .xmb-table { order: 4; } .xmb-conditions { order: 5; } .xmb-code { order: 6; }
.xmb-card { border: 1px solid var(--line); border-radius: 8px; padding: 8px 10px 10px; min-width: 0; }
.xmb-title { font-weight: 600; margin: 0 0 4px; }
.xmb-title span { font-weight: 400; color: var(--quiet); }
.xmb-scrolls .xmb-title::after { content: " · scroll to the right for the rest"; font-weight: 400; color: var(--quiet); }
.xmb-note { color: var(--quiet); font-size: 13px; }
.xmb-scroll { overflow-x: auto; }
.xmb svg { display: block; font: 12.5px/1 system-ui, sans-serif; overflow: visible; }
.xmb svg text { fill: var(--ink); }
.xmb svg .xmb-halo { paint-order: stroke; stroke: var(--paper); stroke-width: 4px; stroke-linejoin: round; }
.xmb-unit rect { stroke: var(--ink); stroke-width: 1.5; }
.xmb-unit .xmb-lit { stroke: none; }
.xmb-unit .xmb-value { font-weight: 700; font-size: 14px; font-variant-numeric: tabular-nums; }
.xmb-unit .xmb-flat { stroke: var(--quiet); stroke-width: 1; fill: none; }
.xmb svg .xmb-quiet { fill: var(--quiet); }
.xmb svg .xmb-pos { fill: var(--pos); } .xmb svg .xmb-neg { fill: var(--neg); }
.xmb-edge path { fill: none; stroke: var(--pos); } .xmb-edge.xmb-minus path:not(.xmb-reach) { stroke: var(--neg); stroke-dasharray: 7 4; }
.xmb-edge polygon { fill: var(--pos); } .xmb-edge.xmb-minus polygon { fill: var(--neg); }
.xmb-edge.xmb-none path:not(.xmb-reach) { stroke: var(--field); stroke-dasharray: 1.5 3; } .xmb-edge.xmb-none polygon { fill: var(--field); }
.xmb-edge path.xmb-reach { stroke: transparent; stroke-width: 14; }
.xmb-label .xmb-number { fill: var(--pos); font-variant-numeric: tabular-nums; } .xmb-label.xmb-minus .xmb-number { fill: var(--neg); } .xmb-label.xmb-none .xmb-number { fill: var(--quiet); }
.xmb-behind { fill: var(--paper); fill-opacity: 0.88; }
.xmb .xmb-label.xmb-on .xmb-behind { fill: var(--mark); fill-opacity: 1; }
.xmb-dense .xmb-label:not(.xmb-on) { visibility: hidden; }
.xmb-stage { position: relative; touch-action: pan-y; margin: 0 auto; cursor: crosshair; }
.xmb-stage canvas { position: absolute; }
.xmb-stage svg { position: absolute; inset: 0; }
.xmb-point { position: absolute; width: 40px; height: 40px; margin: -20px 0 0 -20px; border-radius: 50%; touch-action: none; cursor: grab; }
.xmb-point::before { content: ""; position: absolute; inset: 11px; border-radius: 50%; background: var(--mark); border: 3px solid var(--ink); box-shadow: 0 0 0 2px var(--paper); }
.xmb-point:focus-visible { outline-offset: -6px; }
.xmb-frame { fill: none; stroke: var(--ink); stroke-width: 1; }
.xmb-border { stroke: var(--ink); stroke-width: 0.7; opacity: 0.45; fill: none; }
.xmb-line { fill: none; stroke: var(--ink); stroke-width: 1.6; }
.xmb-line .xmb-reach { stroke: transparent; stroke-width: 12; }
.xmb-boundary { fill: none; stroke: var(--ink); stroke-width: 3.5; stroke-linecap: round; }
.xmb-row-mark circle, .xmb-row-mark path { stroke: var(--ink); stroke-width: 2.5; }
.xmb-wide { overflow-x: auto; position: relative; }
.xmb table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; color: inherit; background: none; font-size: 13.5px; margin: 0; }
.xmb th, .xmb td { padding: 3px 6px; text-align: right; border: 0; border-bottom: 1px solid var(--line); white-space: nowrap; vertical-align: middle; background: none; color: inherit; }
.xmb tr { background: none; }
.xmb th { font-weight: 600; color: var(--quiet); }
.xmb th:first-child, .xmb td:first-child, .xmb td:last-child, .xmb th:last-child { text-align: left; }
.xmb tbody tr { cursor: pointer; }
.xmb td button { padding: 0 8px; font-variant-numeric: tabular-nums; }
.xmb .xmb-here button { border-color: var(--ink); border-width: 2px; font-weight: 700; }
.xmb .xmb-wrong { color: var(--neg); font-weight: 700; }
.xmb .xmb-stuck { background: repeating-linear-gradient(135deg, transparent 0 5px, var(--line) 5px 6px); }
.xmb-cond { display: grid; grid-template-columns: 2.6rem minmax(0, 1fr) minmax(6.5rem, 38%); gap: 0 10px; align-items: center; padding: 4px 2px; border-bottom: 1px solid var(--line); }
.xmb-cond code { font: 12.5px/1.45 ui-monospace, monospace; background: none; color: inherit; padding: 0; overflow-wrap: anywhere; }
.xmb-cond code span { border-radius: 3px; }
.xmb-cond-row { font-variant-numeric: tabular-nums; font-weight: 600; }
.xmb-room-of { display: flex; gap: 10px; align-items: center; }
.xmb-room { font-size: 12.5px; flex: 0 0 7.5rem; }
.xmb-bar { display: block; flex: 1; position: relative; height: 9px; border-left: 0; background: linear-gradient(90deg, transparent calc(50% - 0.5px), var(--ink) calc(50% - 0.5px) calc(50% + 0.5px), transparent calc(50% + 0.5px)); }
.xmb-bar i { position: absolute; top: 1px; bottom: 1px; background: var(--field); }
.xmb-fails .xmb-bar i { background: repeating-linear-gradient(135deg, var(--neg) 0 3px, var(--paper) 3px 5px); border: 1px solid var(--neg); }
.xmb-fails .xmb-room { color: var(--neg); font-weight: 600; }
.xmb-groups { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 15.5rem), 1fr)); gap: 8px 16px; }
.xmb legend, .xmb-group-name { font-weight: 600; padding: 0; font-size: 13.5px; }
.xmb-slider { position: relative; display: grid; grid-template-columns: 46px minmax(0, 1fr) 86px; gap: 6px; align-items: center; padding: 1px 3px; border-radius: 5px; }
.xmb-slider label { font-weight: 600; white-space: nowrap; }
.xmb-slider input[type=number] { width: 100%; padding: 1px 5px; appearance: textfield; -moz-appearance: textfield; font-size: 13px; text-align: right; font-variant-numeric: tabular-nums; min-height: 26px; }
.xmb-slider input::-webkit-inner-spin-button { display: none; }
.xmb-why { grid-column: 1 / -1; color: var(--neg); font-size: 12.5px; text-align: right; }
.xmb-why:empty { display: none; }
.xmb-rail { position: relative; display: block; }
.xmb-rail input { width: 100%; margin: 0; accent-color: var(--pos); min-height: 26px; position: relative; touch-action: pan-y; }
.xmb-rail i { position: absolute; bottom: 1px; width: 2px; height: 6px; background: var(--ink); margin-left: -1px; pointer-events: none; }
.xmb-moved label::after { content: "*"; }
.xmb-code summary { cursor: pointer; font-weight: 600; }
.xmb-code pre { margin: 6px 0 0; padding: 8px 10px; overflow-x: auto; background: var(--soft); color: var(--ink); font: 12.5px/1.5 ui-monospace, monospace; border-radius: 5px; }
.xmb-sr { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.xmb .xmb-on:not(svg *):not(figure) { background-color: var(--mark); }
.xmb .xmb-unit.xmb-on rect.xmb-box { stroke: var(--ring); stroke-width: 4; }
.xmb .xmb-edge.xmb-on path:not(.xmb-reach) { filter: drop-shadow(0 0 2px var(--ring)); stroke-opacity: 1; }
.xmb .xmb-label.xmb-on text, .xmb svg text.xmb-on { font-weight: 800; stroke: var(--mark); stroke-width: 6px; paint-order: stroke; }
.xmb .xmb-line.xmb-on path:not(.xmb-reach) { stroke: var(--ring); stroke-width: 4; }
.xmb .xmb-boundary.xmb-on { stroke: var(--ring); stroke-width: 6; }
.xmb .xmb-row-mark.xmb-on circle, .xmb .xmb-row-mark.xmb-on path { stroke: var(--ring); stroke-width: 5; }
@media (prefers-reduced-motion: no-preference) { .xmb-bar i { transition: width 90ms linear, left 90ms linear; } }
@container xmb (min-width: 760px) {
  .xmb-all { grid-template-columns: minmax(0, 7fr) minmax(0, 5fr); align-items: start; }
  .xmb-side { display: grid; gap: 10px; }
  .xmb-found { min-height: 2.9em; }
  .xmb-head, .xmb-conditions, .xmb-code { grid-column: 1 / -1; }
}
@container xmb (min-width: 760px) and (max-width: 960px) {
  .xmb table { font-size: 12.5px; }
  .xmb th, .xmb td { padding: 3px 2px; }
  .xmb td button { padding: 0 5px; }
  .xmb-word { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
}
.xmb .xmb-tight th, .xmb .xmb-tight td { padding: 3px 3px; }
.xmb .xmb-tight table { font-size: 13px; } .xmb .xmb-tight td button { padding: 0 5px; }
.xmb-tight .xmb-word { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
@container xmb (max-width: 480px) {
  .xmb-all { display: flex; flex-direction: column; }
  .xmb-head, .xmb-says { display: contents; }
  .xmb .xmb-now { position: sticky; top: 0; z-index: 2; font-size: 14.5px; background: var(--soft); border-left: 4px solid var(--ink); padding: 6px 10px; }
  .xmb-room-of { display: block; } .xmb-room { display: block; text-align: center; }
  .xmb-word { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .xmb-cond { grid-template-columns: 2.2rem minmax(0, 1fr) 5rem; }
  .xmb th, .xmb td { padding: 3px 4px; }
  .xmb-card { padding: 6px 6px 8px; }
}
@media print {
  .xmb-tools, .xmb-point, .xmb-screen, .xmb-rail { display: none !important; }
  .xmb-slider { grid-template-columns: 46px 86px; } .xmb-scrolls .xmb-title::after { content: none; }
  .xmb-code pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  .xmb-card { break-inside: avoid; } .xmb .xmb-now { position: static; }
  /* one column; nothing scrolls on paper, so what was laid out for a wider screen is made smaller */
  .xmb-all { grid-template-columns: minmax(0, 1fr); } .xmb-side { display: contents; }
  .xmb-scroll, .xmb-wide { overflow: visible; } .xmb-table .xmb-title span + span { display: none; }
  .xmb-scroll svg { max-width: 100%; height: auto; }
  .xmb * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
`);

// ---------------------------------------------------------------------------------------------
// small helpers of the view

const SVG = "http://www.w3.org/2000/svg";

function make(parent, tag, attributes = {}, text) {
  const isSvg = parent instanceof SVGElement || tag === "svg";
  const node = isSvg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

/** Sets a text only where it differs, so that a move touches little of the page. */
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function put(node, name, value) {
  const text = String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

const px = value => Math.round(value * 100) / 100;
const pathOf = points => points.map(([x, y], k) => `${k ? "L" : "M"}${px(x)} ${px(y)}`).join("");
const listed = words =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
const decided = bit => (bit < 0 ? "undecided" : String(bit));
const sumOf = values => values.reduce((sum, value) => sum + value, 0);
const largest = values => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** The colours of the look as [r, g, b]. */
function coloursOf(element) {
  const style = getComputedStyle(element);
  const read = name => {
    const hex = style.getPropertyValue(name).trim().slice(1);
    const full = hex.length === 3 ? [...hex].map(digit => digit + digit).join("") : hex;
    return [0, 2, 4].map(at => parseInt(full.slice(at, at + 2), 16));
  };
  return { paper: read("--paper"), pos: read("--pos"), neg: read("--neg"), line: read("--line") };
}

const REDRAWN = "xor-mi-drawn";
const STEP = 0.05;
const LEAST_REACH = 4;
const GRID = 96;
const GRID_OF_STEPS = 160;
const ROUNDING = 1e-6;
const DASHES = ["8 4", "2 3", "9 3 2 3", "14 4", "5 2 1 2 1 2", "4 4"];
const MOST_LABELS = 12;
// what a unit is called that no output of the circuit depends on, and why it is
const NOTES = {
  idle: "no output of the circuit depends on the unit",
  dead: "one value on every row, read as FALSE",
  "always on": "one value on every row, read as TRUE",
};
const POINTS = "Points: filled, decided 1; open, decided 0; yellow, the input shown.";
const NOT_PROVED = "no explanation survives every test required; this is the closest reading";
// by the page: each cell of a notebook may have a copy of this module
const nextNumber = () => (document.xmbBenches = (document.xmbBenches || 0) + 1);

// ---------------------------------------------------------------------------------------------
// the bench itself

/** A weight's rail: it goes from -reach to reach in units of 10 to the power.
 *
 * The power is that of the weight as it was found. One that is 0, or left over from nothing, goes by
 * its kin: the other weights, or biases, of its layer. */
export function railOf(net, spec, k) {
  const one = spec.symbols[k];
  const sizeOf = isKin => largest(net.weights.filter((_, n) => spec.symbols[n].layer === one.layer && isKin(spec.symbols[n])));
  const isBias = one.source === null;
  const kin = sizeOf(other => (other.source === null) === isBias) || sizeOf(() => true) || 1;
  const own = Math.abs(net.weights[k]);
  const size = own ? Math.max(own, Math.min(kin, 1)) : kin;
  const exponent = Number(size.toExponential().split("e")[1]);
  // from a tenth to ten the steps are the same
  const power = exponent === -1 ? 0 : exponent;
  const most = Math.floor(placeOn({ power }, greatest(net.dtype)) / STEP) * STEP;
  const wanted = Math.ceil((Math.max(LEAST_REACH, 2 * placeOn({ power }, size)) - 1e-9) / STEP) * STEP;
  return { power, reach: Math.min(wanted, most) };
}

/** Where a number is on a rail, in the rail's own units. */
function placeOn({ power }, value) {
  const [mantissa, own] = value.toExponential().split("e");
  return Number(`${mantissa}e${Number(own) - power}`);
}

class Bench {
  constructor(el, spec, options) {
    Object.assign(this, { spec, options });
    const number = nextNumber();
    this.id = `xmb${number}`;
    this.symbols = spec.symbols.map(one => one.symbol);
    this.preset = options.preset || 0;
    this.found = options.found || null;
    this.frame = 0;
    this.root = make(el, "section", { class: "xmb", "aria-label": `Bench ${number}: a network whose inputs and weights can be moved` });
    addStyle(this.root);
    this.all = make(this.root, "div", { class: "xmb-all" });
    this.begin();
    if (options.moves) this.take(options.moves);
    this.build();
    this.listen();
    this.draw();
  }

  get net() {
    return this.spec.networks[this.preset];
  }

  /** The network of the preset as it was found, and the point on the first row that should be 1. */
  begin() {
    const { net } = this;
    this.weights = Float64Array.from(net.weights);
    const rows = rowsOf(net);
    const first = net.target ? net.target.tables[0].indexOf(1) : 1;
    this.input = atLevels(net, rows[Math.max(first, 0)]);
    const n = net.sizes[0];
    this.axes = n > 1 ? (this.axes && this.axes[1] < n ? this.axes : [0, 1]) : [0];
    this.decision = 0;
  }

  /** The weights that are not as they were found: symbol -> value. */
  get moves() {
    const moves = {};
    this.symbols.forEach((symbol, k) => {
      if (this.weights[k] !== this.net.weights[k]) moves[symbol] = this.weights[k];
    });
    return moves;
  }

  take(moves) {
    this.weights = Float64Array.from(this.net.weights);
    this.symbols.forEach((symbol, k) => {
      if (symbol in moves) this.weights[k] = moves[symbol];
    });
  }

  // what stands where

  build() {
    this.all.replaceChildren();
    const { net } = this;
    this.width = {};
    this.buildHead();
    const [left, right] = [0, 1].map(() => make(this.all, "div", { class: "xmb-side" }));
    this.netCard = this.card("net", "Network", left);
    this.netNote = make(this.netCard.firstChild, "span");
    this.netStage = make(this.netCard, "div", { class: "xmb-scroll" });
    this.idleNote = make(this.netCard, "p", { class: "xmb-note" });
    this.denseNote = make(this.netCard, "p", { class: "xmb-note xmb-screen" }, "Point at an arrow, or at a weight's slider, to read its name and its term.");
    this.sliders = new Map();
    const inputs = make(this.netCard, "fieldset", { class: "xmb-groups" });
    make(inputs, "legend", {}, "Inputs");
    net.sizes[0] && rowsOf(net)[0].forEach((_, k) => this.buildInput(inputs, k));
    this.planeCard = this.card("plane", net.sizes[0] > 1 ? "Input plane" : "Output over the input", right);
    this.planeNote = make(this.planeCard.firstChild, "span");
    this.buildPlane();
    this.weightCard = this.card("weights", "Weights", left);
    make(this.weightCard.firstChild, "span", { class: "xmb-screen" }, " · tick: as found");
    this.buildWeights();
    this.tableCard = this.card("table", "Truth table", right);
    make(this.tableCard.firstChild, "span", { class: "xmb-screen" }, " · a click moves the point there");
    this.buildTable();
    this.buildConditions();
    this.buildCode();
    this.resize();
  }

  card(name, title, parent = this.all) {
    const id = `${this.id}-${name}`;
    const node = make(parent, "div", { class: `xmb-card xmb-${name}`, role: "group", "aria-labelledby": id });
    make(node, "p", { class: "xmb-title", id }, title);
    return node;
  }

  buildHead() {
    const head = make(this.all, "div", { class: "xmb-head" });
    const says = make(head, "div", { class: "xmb-says" });
    this.now = make(says, "p", { class: "xmb-now", role: "status" });
    this.foundNote = make(says, "p", { class: "xmb-found" });
    const tools = make(head, "div", { class: "xmb-tools" });
    if (this.spec.networks.length > 1) {
      make(tools, "label", { for: `${this.id}-preset` }, "Network");
      const select = make(tools, "select", { id: `${this.id}-preset` });
      this.spec.networks.forEach((one, k) => {
        const gates = one.found && k ? Object.values(one.found.gates).filter(gate => gate.length < 9) : [];
        make(select, "option", { value: k }, gates.length ? `${one.name} (${gates.slice(0, 3).join(", ")})` : one.name);
      });
      select.value = String(this.preset);
      select.addEventListener("change", () => this.choose(Number(select.value)));
      this.select = select;
    }
    const reset = make(tools, "button", { type: "button", title: "every weight and input back to where it started" }, "Reset");
    reset.addEventListener("click", () => this.reset());
    const copy = make(tools, "button", { type: "button" }, "Copy as code");
    copy.addEventListener("click", () => this.copy(copy));
  }

  /** One slider with its name and a field for the number.
   *
   * The rail has small numbers of its own, from low to high by steps of STEP, so that the largest and
   * smallest weights are moved as any other; `valueAt` makes the value of one (given as text), and
   * `placeOf` undoes that. `onMove` takes a value and gives why it cannot be, or "". */
  buildSlider(parent, { key, keys, name, title, low, high, dtype, valueAt, placeOf, valueOf, onMove }) {
    const row = make(parent, "div", { class: "xmb-slider", "data-key": key, "data-k": keys, title });
    const id = `${this.id}-${key}`;
    make(row, "label", { for: id }, name);
    const rail = make(row, "span", { class: "xmb-rail" });
    const range = make(rail, "input", { type: "range", id, min: px(low), max: px(high), step: STEP, "aria-describedby": `${id}-what` });
    const tick = make(rail, "i", { "aria-hidden": "true" });
    make(row, "span", { class: "xmb-sr", id: `${id}-what` }, title);
    const number = make(row, "input", { type: "number", step: "any", "aria-label": `${name} as a number`, "aria-describedby": `${id}-why` });
    row.append(row.querySelector(".xmb-sr"));
    const why = make(row, "span", { class: "xmb-why", id: `${id}-why`, role: "alert" });
    // what a number that cannot be goes back to
    let before = valueOf();
    const refuse = (text, reason) => {
      say(why, reason && `${text || "That"} is ${reason}.`);
      put(number, "aria-invalid", Boolean(reason));
    };
    const slide = () => {
      const value = valueAt(range.value);
      refuse(general(value, 4), onMove(value));
      before = valueOf();
    };
    const read = () => {
      const { value, reason } = typed(number.value, dtype);
      const refused = reason || onMove(value);
      if (refused && valueOf() !== before) onMove(before);
      refuse(number.value, refused);
      return !refused;
    };
    range.addEventListener("input", slide);
    number.addEventListener("focus", () => (before = valueOf()));
    // half a number, such as "1e", is not refused while it is being written
    number.addEventListener("input", () => {
      slider.isWriting = true;
      if (number.value) read();
    });
    number.addEventListener("blur", () => (slider.isWriting = false));
    number.addEventListener("change", () => {
      slider.isWriting = false;
      if (!read()) number.value = general(valueOf(), 4);
      before = valueOf();
      this.draw();
    });
    // by the slider's steps, whatever the size
    number.addEventListener("keydown", event => {
      if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
      event.preventDefault();
      range.value = placeOf(valueOf());
      if (event.key === "ArrowUp") range.stepUp();
      else range.stepDown();
      slide();
    });
    const slider = { row, range, number, tick, low, high, placeOf, refuse, isWriting: false };
    this.sliders.set(key, slider);
    return slider;
  }

  buildInput(parent, k) {
    const [low, high] = this.net.given_levels;
    this.buildSlider(parent, {
      key: `x${k}`,
      keys: `x${k}`,
      name: `x${k}`,
      title: `input x${k}: ${general(low, 6)} is bit 0, ${general(high, 6)} is bit 1`,
      low: -0.5,
      high: 1.5,
      dtype: "float64",
      valueAt: text => this.inputAt(Number(text)),
      placeOf: value => this.placeOf(value),
      valueOf: () => this.input[k],
      onMove: value => this.moveInput(k, value),
    });
  }

  /** An input as its share of the way from the lower level to the higher one. */
  placeOf(value) {
    const [least, most] = [Math.min(...this.net.levels), Math.max(...this.net.levels)];
    return (value - least) / (most - least);
  }

  /** The input at such a share; at 0 and 1 the levels, to the last digit. */
  inputAt(share) {
    const [least, most] = [Math.min(...this.net.levels), Math.max(...this.net.levels)];
    const place = Math.round(share * 1e6) / 1e6;
    return place === 1 ? most : least + place * (most - least);
  }

  /** The units in whose sum a weight is, and what else is marked with it. */
  keysOf(symbol) {
    const one = this.spec.symbols[this.symbols.indexOf(symbol)];
    return `${symbol} ${unitName(this.net, one.layer, one.unit)}`;
  }

  symbolsInto(unit) {
    return this.spec.symbols.filter(one => unitName(this.net, one.layer, one.unit) === unit).map(one => one.symbol);
  }

  buildWeights() {
    const groups = make(this.weightCard, "div", { class: "xmb-groups" });
    const nets = this.net.sizes.length - 1;
    this.gateNotes = new Map();
    for (let l = 0; l < nets; l += 1) {
      for (let unit = 0; unit < this.net.sizes[l + 1]; unit += 1) {
        const name = unitName(this.net, l, unit);
        const group = make(groups, "fieldset");
        const legend = make(group, "legend", { "data-key": name, "data-k": name }, `into ${name}`);
        this.gateNotes.set(name, make(legend, "span", { class: "xmb-note" }));
        this.spec.symbols.forEach((one, k) => {
          if (one.layer !== l || one.unit !== unit) return;
          const source = one.source === null ? null : sourcesOf(this.net, l)[one.source];
          const title = source === null ? `${one.symbol}: bias of ${name}, ${one.parameter}` : `${one.symbol}: weight from ${source} to ${name}, ${one.parameter}`;
          const rail = railOf(this.net, this.spec, k);
          this.buildSlider(group, {
            key: one.symbol,
            keys: this.keysOf(one.symbol),
            name: one.symbol,
            title,
            low: -rail.reach,
            high: rail.reach,
            dtype: this.net.dtype,
            valueAt: text => Number(`${text}e${rail.power}`),
            placeOf: value => placeOn(rail, value),
            valueOf: () => this.weights[k],
            onMove: value => this.move(k, value),
          });
        });
      }
    }
  }

  buildPlane() {
    const { net } = this;
    const n = net.sizes[0];
    const menus = n > 2 || nDecisions(net) > 1 ? make(this.planeCard, "div", { class: "xmb-tools" }) : null;
    if (n > 2) {
      make(menus, "label", { for: `${this.id}-axes` }, "Plane of");
      const select = make(menus, "select", { id: `${this.id}-axes` });
      for (let a = 0; a < n; a += 1) {
        for (let b = a + 1; b < n; b += 1) make(select, "option", { value: `${a} ${b}` }, `x${a} and x${b}`);
      }
      select.value = this.axes.join(" ");
      select.addEventListener("change", () => {
        this.axes = select.value.split(" ").map(Number);
        this.draw();
      });
    }
    if (nDecisions(net) > 1) {
      make(menus, "label", { for: `${this.id}-output` }, "Output");
      const select = make(menus, "select", { id: `${this.id}-output` });
      decisionUnits(net).forEach((unit, k) => make(select, "option", { value: k }, `y${unit}`));
      select.addEventListener("change", () => {
        this.decision = Number(select.value);
        this.draw();
      });
    }
    this.stage = make(this.planeCard, "div", { class: "xmb-stage" });
    this.canvas = make(this.stage, "canvas", { "aria-hidden": "true" });
    this.planeSvg = make(this.stage, "svg", { role: "img", "aria-labelledby": `${this.id}-plane-title` });
    this.point = make(this.stage, "div", { class: "xmb-point", role: "slider", tabindex: "0", "aria-label": n > 1 ? "the input, moved with the arrow keys" : "the input" });
    this.planeSays = make(this.planeCard, "p", { class: "xmb-note" });
    const moveTo = event => {
      const from = this.stage.getBoundingClientRect();
      const at = this.inverse([event.clientX - from.left, event.clientY - from.top]);
      const [low, high] = this.net.levels;
      const near = Math.abs(high - low) * 0.045;
      this.axes.forEach((axis, k) => {
        let value = between(at[k], ...this.box[k]);
        for (const level of [low, high]) if (Math.abs(value - level) < near) value = level;
        this.input[axis] = value;
      });
      this.later();
    };
    this.stage.addEventListener("pointerdown", event => {
      const isPoint = this.point.contains(event.target);
      if (event.pointerType === "touch" && !isPoint) return;
      this.stage.setPointerCapture(event.pointerId);
      this.isDragging = true;
      if (!isPoint) moveTo(event);
      event.preventDefault();
      this.point.focus({ preventScroll: true });
    });
    this.stage.addEventListener("click", event => {
      if (event.pointerType === "touch" && !this.point.contains(event.target)) moveTo(event);
    });
    this.stage.addEventListener("pointermove", event => this.isDragging && moveTo(event));
    for (const name of ["pointerup", "pointercancel"]) {
      this.stage.addEventListener(name, () => (this.isDragging = false));
    }
    this.point.addEventListener("keydown", event => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] }[event.key];
      if (!way) return;
      event.preventDefault();
      const size = event.shiftKey ? 0.25 : STEP;
      this.axes.forEach((axis, k) => {
        const steps = this.axes.length > 1 ? way[k] : way[0] + way[1];
        if (steps) this.input[axis] = between(this.inputAt(this.placeOf(this.input[axis]) + steps * size), ...this.box[k]);
      });
      this.later();
    });
  }

  buildTable() {
    const { net } = this;
    this.tableBox = make(this.tableCard, "div", { class: "xmb-wide" });
    const table = make(this.tableBox, "table");
    make(table, "caption", { class: "xmb-sr" }, "Truth table: what every unit gives on each row, what is decided, and whether that is right");
    const head = make(make(table, "thead"), "tr");
    make(head, "th", { scope: "col" }, "row");
    const columns = [];
    net.sizes.slice(1).forEach((size, l) => {
      for (let unit = 0; unit < size; unit += 1) columns.push([l, unit, unitName(net, l, unit)]);
    });
    this.columns = columns;
    for (const [layer, , name] of columns) make(head, "th", { scope: "col", "data-layer": layer, "data-key": name, "data-k": [name, ...this.symbolsInto(name)].join(" ") }, name);
    make(head, "th", { scope: "col" }, "decides");
    if (net.target) make(head, "th", { scope: "col" }, net.target.name.length < 9 ? net.target.name : "target");
    make(make(head, "th", { scope: "col" }), "span", { class: "xmb-sr" }, "right or wrong");
    const body = make(table, "tbody");
    this.rowNodes = rowsOf(net).map(bits => {
      const row = bits.join("");
      const line = make(body, "tr", { "data-key": row, "data-k": row });
      const button = make(make(line, "td"), "button", { type: "button", "aria-label": `move the point to row ${row}` }, row);
      line.addEventListener("click", () => {
        this.input = atLevels(net, bits);
        this.later();
      });
      const cells = columns.map(([layer, , name]) => make(line, "td", { "data-layer": layer, "data-k": [name, ...this.symbolsInto(name)].join(" ") }));
      const decides = make(line, "td");
      const wanted = net.target ? make(line, "td") : null;
      const verdict = make(line, "td");
      const [mark, word] = ["", "xmb-word"].map(name => make(verdict, "span", { class: name }));
      return { line, button, cells, decides, wanted, verdict, mark, word };
    });
    this.tableNote = make(this.tableCard, "p", { class: "xmb-note" });
    this.roomNote = make(this.tableCard, "p", { class: "xmb-note" });
    this.tableHint = make(this.tableCard.firstChild, "span", { class: "xmb-screen" });
  }

  buildConditions() {
    this.conditionNodes = [];
    this.conditionList = null;
    if (!this.net.target) return;
    const card = this.card("conditions", "Conditions");
    make(card.firstChild, "span", {}, " · what each row needs of the weights, and by how much it holds");
    this.conditionList = make(card, "ul", { "aria-label": "conditions on the weights" });
  }

  /** An inequality whose symbols are marked with their weights. */
  writeInequality(node, text) {
    if (node.dataset.text === text) return;
    node.dataset.text = text;
    node.replaceChildren();
    for (const part of text.split(/(\b[bcuvw]\d*(?:_\d+)*\b)/)) {
      if (this.symbols.includes(part)) make(node, "span", { "data-key": part, "data-k": this.keysOf(part) }, part);
      else node.append(part);
    }
  }

  buildCode() {
    this.codeBox = make(this.all, "details", { class: "xmb-code" });
    make(this.codeBox, "summary", {}, "Python that makes this network");
    this.code = make(this.codeBox, "pre", { tabindex: "0", "aria-label": "Python code" });
    this.codeBox.addEventListener("toggle", () => this.writeCode());
  }

  // what a person does

  /** Moves a weight, where the network holds it and can compute with it; else says why not. */
  move(k, value) {
    const { dtype } = this.net;
    const weight = held(value, dtype);
    if (!Number.isFinite(weight)) return typed(String(value), dtype).reason;
    const before = this.weights[k];
    this.weights[k] = weight;
    const reason = this.overflow();
    if (reason) this.weights[k] = before;
    this.later();
    this.tell();
    return reason;
  }

  moveInput(k, value) {
    const before = this.input[k];
    this.input[k] = value;
    const reason = this.overflow([this.input]);
    if (reason) this.input[k] = before;
    this.later();
    return reason;
  }

  /** Which unit adds up to no number, on the rows and the corners of the plane; "" where none does. */
  overflow(inputs = this.extremes()) {
    for (const input of inputs) {
      const { pre, post } = evaluate(this.net, this.weights, input);
      for (let l = 0; l < pre.length; l += 1) {
        for (let unit = 0; unit < pre[l].length; unit += 1) {
          if (!Number.isFinite(pre[l][unit]) || !Number.isFinite(post[l][unit])) {
            return `too large: ${unitName(this.net, l, unit)} would not be finite`;
          }
        }
      }
    }
    return "";
  }

  /** The rows, and the same as far out as the plane goes. */
  extremes() {
    const rows = rowsOf(this.net);
    const ends = this.net.levels[0] < this.net.levels[1] ? [-0.5, 1.5] : [1.5, -0.5];
    return [...rows.map(bits => atLevels(this.net, bits)), ...rows.map(bits => bits.map(bit => this.inputAt(ends[bit])))];
  }

  reset() {
    this.begin();
    for (const { refuse } of this.sliders.values()) refuse("", "");
    this.draw();
    this.tell();
  }

  choose(preset) {
    this.preset = preset;
    this.begin();
    this.build();
    this.draw();
    this.tell();
  }

  tell() {
    if (this.options.onChange) this.options.onChange({ moves: this.moves, preset: this.preset });
  }

  copy(button) {
    this.codeBox.open = true;
    this.writeCode();
    const done = () => {
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy as code"), 1500);
    };
    const byHand = () => {
      const range = document.createRange();
      range.selectNodeContents(this.code);
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      if (document.execCommand("copy")) done();
    };
    if (navigator.clipboard) navigator.clipboard.writeText(this.code.textContent).then(done, byHand);
    else byHand();
  }

  /** From outside: other moves, another network, what the kernel found. */
  set({ moves, preset, found }) {
    if (preset !== undefined && preset !== this.preset) {
      this.preset = preset;
      this.begin();
      this.build();
    }
    if (moves !== undefined && JSON.stringify(moves) !== JSON.stringify(this.moves)) this.take(moves);
    if (found !== undefined) this.found = found;
    this.later();
  }

  /** Draws with the next frame, once, whatever has changed until then. */
  later() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  listen() {
    const keyOf = event => event.target.closest?.("[data-key]")?.dataset.key;
    const mark = event => this.mark(keyOf(event) || this.focused || "");
    this.root.addEventListener("pointerover", mark);
    this.root.addEventListener("pointerleave", () => this.mark(this.focused || ""));
    this.root.addEventListener("focusin", event => {
      this.focused = event.target.matches(":focus-visible") ? keyOf(event) || "" : "";
      this.mark(this.focused);
    });
    this.root.addEventListener("focusout", () => {
      this.focused = "";
      this.mark("");
    });
    this.watch = new ResizeObserver(() => this.resize() && this.draw());
    this.watch.observe(this.root);
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.recolour = () => this.later();
    this.dark.addEventListener("change", this.recolour);
    this.paper = matchMedia("print");
    this.onPaper = () => this.recolourFor(true);
    this.onScreen = () => this.recolourFor(this.paper.matches);
    this.paper.addEventListener("change", this.onScreen);
    addEventListener("beforeprint", this.onPaper);
    addEventListener("afterprint", this.onScreen);
    this.theme = new MutationObserver(this.recolour);
    this.theme.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-vscode-theme-kind"] });
  }

  destroy() {
    cancelAnimationFrame(this.frame);
    this.watch.disconnect();
    this.theme.disconnect();
    this.dark.removeEventListener("change", this.recolour);
    this.paper.removeEventListener("change", this.onScreen);
    removeEventListener("beforeprint", this.onPaper);
    removeEventListener("afterprint", this.onScreen);
    this.root.remove();
  }

  /** Light for paper, at once: what is painted on the canvas does not change with the style. */
  recolourFor(isPaper) {
    this.root.classList.toggle("xmb-on-paper", isPaper);
    this.drawPlane();
    this.showMarks();
  }

  /** A unit, weight or row marked in every view; a row is shown in the diagram meanwhile. */
  mark(key) {
    if (key === this.marked) return;
    this.marked = key;
    this.showMarks();
    this.drawNetwork();
  }

  showMarks() {
    const key = this.marked;
    for (const node of this.root.querySelectorAll(".xmb-on")) node.classList.remove("xmb-on");
    if (!key) return;
    for (const node of this.root.querySelectorAll(`[data-k~="${key}"]`)) node.classList.add("xmb-on");
  }

  /** Takes the widths there are; true where one is another than before. */
  resize() {
    const inner = node => {
      const style = getComputedStyle(node);
      return Math.floor(node.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight));
    };
    const width = { net: inner(this.netCard) || 560, plane: inner(this.planeCard) || 400 };
    if (width.net === this.width.net && width.plane === this.width.plane) return false;
    this.width = width;
    this.layNetwork();
    this.fitTable({ anew: true });
    return true;
  }

  // the diagram

  /** Where units, edges and their labels are, for the width there is. */
  layNetwork() {
    const { net } = this;
    const n = net.sizes.length;
    const isNarrow = this.width.net < 130 * n + 60;
    const boxWidth = isNarrow ? 54 : 78;
    // between two layers is as much room as the labels there need, and a share of what is left over
    const counts = net.sizes.slice(1).map((size, l) => size * net.sizes[l]);
    const wanted = counts.map(count => (count < 5 ? 72 : count < 9 ? 88 : 124));
    // a little less where that is all that a narrow page lacks
    const share = (this.width.net - n * boxWidth - 4) / sumOf(wanted);
    const rooms = wanted.map(room => (share > 0.9 && share < 1 ? room * share : room));
    const needed = sumOf(rooms) + n * boxWidth + 4;
    const width = Math.max(this.width.net, needed);
    const wider = 1 + (width - needed) / sumOf(rooms);
    const widest = Math.max(...net.sizes);
    const spacing = widest > 4 ? 98 : isNarrow ? (Math.max(...counts) > 5 ? 120 : 98) : widest > 3 && Math.max(...counts) < 9 ? 108 : 138;
    const arc = net.direct ? 46 + 16 * net.sizes[0] : 0;
    const height = widest * spacing + arc * 2 + 6;
    const spots = new Map();
    let middle = 2 + boxWidth / 2;
    net.sizes.forEach((size, column) => {
      for (let k = 0; k < size; k += 1) {
        const y = height / 2 + (k - (size - 1) / 2) * Math.min(spacing * 1.25, (widest * spacing) / size);
        spots.set(unitName(net, column - 1, k), [middle, y]);
      }
      middle += boxWidth + (rooms[column] ?? 0) * wider;
    });
    // name and number stand one over the other where a label would reach over the half of what is between
    const isStacked = rooms.some((room, l) => room * wider < (counts[l] < 5 ? 104 : 180));
    this.shape = { width, height, boxWidth, boxHeight: 44, spots, isStacked, arc, middle: height / 2 };
    this.edges = [];
    this.spec.symbols.forEach((one, k) => {
      if (one.source === null) return;
      const source = sourcesOf(net, one.layer)[one.source];
      const target = unitName(net, one.layer, one.unit);
      const isDirect = source[0] === "x" && one.layer > 0;
      const ports = [this.portOf(one.unit, net.sizes[one.layer + 1]), this.portOf(Number(source.split(/[x.]/).at(-1)), net.sizes[one.layer])];
      this.edges.push({ k, symbol: one.symbol, source, target, layer: one.layer, column: one.source, isDirect, way: this.wayOf(source, target, isDirect, ports) });
    });
    this.placeLabels();
    this.makeNetwork();
  }

  /** How far from the middle of a box's side the one of several edges begins or ends. */
  portOf(index, count) {
    return (index - (count - 1) / 2) * Math.min(10, 30 / Math.max(1, count - 1));
  }

  /** An edge as a function of its share, from box to box. */
  wayOf(source, target, isDirect, [leaves, enters]) {
    const { spots, boxWidth, arc, height } = this.shape;
    const [[x0, y0], [x1, y1]] = [spots.get(source), spots.get(target)];
    const from = [x0 + boxWidth / 2, isDirect ? y0 : y0 + leaves];
    const to = [x1 - boxWidth / 2 - 3, isDirect ? y1 + (y0 - y1) * 0.06 : y1 + enters];
    if (!isDirect) return share => [0, 1].map(axis => from[axis] + share * (to[axis] - from[axis]));
    const index = Number(source.slice(1));
    const isUpper = index < this.net.sizes[0] / 2;
    const peak = isUpper ? 16 + 22 * index : height - 16 - 22 * (this.net.sizes[0] - 1 - index);
    const end = [to[0], y1 + (isUpper ? -12 : 12)];
    return share => {
      const rise = 4 * share * (1 - share);
      const straight = [0, 1].map(axis => from[axis] + share * (end[axis] - from[axis]));
      const flat = Math.min(1, rise * 1.25);
      return [straight[0], straight[1] + flat * (peak - straight[1])];
    };
  }

  /** For each label the place along its edge that is clear of boxes, labels and other edges. */
  placeLabels() {
    const { spots, boxWidth, boxHeight, isStacked } = this.shape;
    // a box with its gate above it and its bias under it, which are wider than a narrow box
    const boxes = [...spots.values()].map(([x, y]) => [x, y + 2, Math.max(boxWidth / 2 + 2, 38), boxHeight / 2 + 18]);
    const points = this.edges.map(edge => Array.from({ length: 41 }, (_, n) => edge.way(n / 40)));
    const sizes = this.edges.map(edge => (isStacked ? [24, 15] : [(edge.symbol.length * 7 + 46) / 2, 8]));
    const shares = Array.from({ length: 33 }, (_, n) => 0.08 + n * 0.025);
    const along = this.edges.map(edge => shares.map(share => edge.way(share)));
    // what a place costs whatever the other labels do
    const own = this.edges.map((edge, e) => shares.map((share, n) => {
      const [x, y] = along[e][n];
      const [w, h] = sizes[e];
      let cost = 3 * Math.abs(share - 0.42);
      for (const [bx, by, bw, bh] of boxes) {
        const [dx, dy] = [bw + w - Math.abs(x - bx), bh + h - Math.abs(y - by)];
        if (dx > 0 && dy > 0) cost += 40 + 2 * Math.min(dx, dy);
      }
      // no label hides the head of an arrow
      if (points.some(ring => Math.abs(ring.at(-1)[0] - 6 - x) < w + 7 && Math.abs(ring.at(-1)[1] - y) < h + 4)) cost += 12;
      points.forEach((ring, other) => {
        if (other === e) return;
        // 0 in the middle of the label, 1 at its rim
        const off = Math.min(...ring.map(([qx, qy]) => Math.max(Math.abs(qx - x) / w, Math.abs(qy - y) / h)));
        if (off < 1.15) cost += 3 + 8 * (1.15 - off);
      });
      return cost;
    }));
    const overlap = (e, n, other, m) => {
      const [[x, y], [ox, oy]] = [along[e][n], along[other][m]];
      const dx = sizes[e][0] + sizes[other][0] + 3 - Math.abs(x - ox);
      const dy = sizes[e][1] + sizes[other][1] + 2 - Math.abs(y - oy);
      return dx > 0 && dy > 0 ? 40 + 2 * Math.min(dx, dy) : 0;
    };
    let best = null;
    // from several beginnings, the same ones each time, each label moves while it gets better by that
    const starts = this.edges.length > 24 ? 5 : 24;
    let seed = 1;
    const drawn = () => (seed = (seed * 16807) % 2147483647) % shares.length;
    for (let start = 0; start < starts; start += 1) {
      const chosen = this.edges.map(() => (start < 5 ? 4 + 6 * start : drawn()));
      let total = 0;
      for (let pass = 0; pass < 6; pass += 1) {
        total = 0;
        this.edges.forEach((_, e) => {
          const costs = own[e].map((cost, n) => chosen.reduce((sum, m, other) => (other === e ? sum : sum + overlap(e, n, other, m)), cost));
          chosen[e] = costs.indexOf(Math.min(...costs));
          total += costs[chosen[e]];
        });
      }
      if (!best || total < best.total) best = { total, chosen };
    }
    this.places = this.edges.map((_, e) => along[e][best.chosen[e]]);
  }

  makeNetwork() {
    const { net } = this;
    const { width, height, boxWidth, boxHeight, spots, isStacked } = this.shape;
    this.netStage.replaceChildren();
    const most = Math.max(...net.sizes.slice(1).map((size, l) => size * net.sizes[l]));
    this.denseNote.hidden = most <= MOST_LABELS;
    // what is scrolled sideways must be reached by keys too
    const isScrolled = width > this.width.net + 1;
    this.netCard.classList.toggle("xmb-scrolls", isScrolled);
    const way = { tabindex: "0", role: "group", "aria-label": "the diagram, wider than the page" };
    for (const [name, value] of Object.entries(way)) {
      if (isScrolled) put(this.netStage, name, value);
      else this.netStage.removeAttribute(name);
    }
    const svg = make(this.netStage, "svg", {
      width, height, viewBox: `0 0 ${px(width)} ${px(height)}`, role: "img",
      class: most > MOST_LABELS ? "xmb-dense" : null, "aria-labelledby": `${this.id}-net-title`,
    });
    this.netTitle = make(svg, "title", { id: `${this.id}-net-title` });
    this.netTitle.textContent = "the network";
    this.edgeNodes = this.edges.map(edge => {
      const group = make(svg, "g", { class: "xmb-edge", "data-key": edge.symbol, "data-k": `${edge.symbol} ${edge.target}` });
      const title = make(group, "title");
      const reach = make(group, "path", { class: "xmb-reach" });
      return { group, title, reach, path: make(group, "path"), head: make(group, "polygon") };
    });
    this.unitNodes = new Map();
    for (const [name, [x, y]] of spots) {
      const group = make(svg, "g", { class: "xmb-unit", "data-key": name, "data-k": name });
      const title = make(group, "title");
      const box = { x: px(x - boxWidth / 2), y: px(y - boxHeight / 2), width: boxWidth, height: boxHeight, rx: 9 };
      make(group, "rect", { ...box, class: "xmb-box", fill: "var(--paper)" });
      const lit = make(group, "rect", { ...box, class: "xmb-lit" });
      const flat = make(group, "path", { class: "xmb-flat", d: `M${px(x - boxWidth / 2 + 6)} ${px(y + boxHeight / 2 - 5)}h${boxWidth - 12}` });
      make(group, "rect", { ...box, class: "xmb-box", fill: "none" });
      const at = { x: px(x), "text-anchor": "middle" };
      make(group, "text", { ...at, y: px(y - 5) }, name);
      const value = make(group, "text", { ...at, y: px(y + 12), class: "xmb-value" });
      const gate = make(group, "text", { ...at, y: px(y - boxHeight / 2 - 6), class: "xmb-halo" });
      const bias = name[0] === "x" ? null : make(svg, "text", { ...at, y: px(y + boxHeight / 2 + 14), class: "xmb-halo xmb-quiet" });
      if (bias) {
        const symbol = this.symbolsInto(name).at(-1);
        put(bias, "data-key", symbol);
        put(bias, "data-k", `${symbol} ${name}`);
      }
      this.unitNodes.set(name, { group, title, lit, flat, value, gate, bias });
    }
    this.labelNodes = this.edges.map((edge, e) => {
      const group = make(svg, "g", { class: "xmb-label", "data-key": edge.symbol, "data-k": `${edge.symbol} ${edge.target}` });
      const [x, y] = this.places[e];
      const behind = make(group, "rect", { class: "xmb-behind", rx: 3, y: px(isStacked ? y - 14 : y - 8), height: isStacked ? 29 : 16 });
      const text = make(group, "text", { x: px(x), y: px(isStacked ? y - 3 : y + 4), "text-anchor": "middle", class: "xmb-halo" });
      make(text, "tspan", {}, edge.symbol);
      const number = make(text, "tspan", isStacked ? { x: px(x), dy: 14, class: "xmb-number" } : { dx: 4, class: "xmb-number" });
      return { group, number, behind, x };
    });
  }

  drawNetwork() {
    const { net, weights } = this;
    const row = /^[01]+$/.test(this.marked || "") ? this.marked : null;
    const input = row ? atLevels(net, [...row].map(Number)) : this.input;
    const at = evaluate(net, weights, input);
    const machine = new Machine(net, weights);
    const lit = net.sizes.slice(1).map(() => 0);
    // of each layer, the largest term that comes into it
    const strongestInto = lit.map(() => 0);
    const termOf = (edge, post) => {
      const before = edge.source[0] === "x" ? input[Number(edge.source.slice(1))] : post[edge.layer - 1][edge.column];
      return [before, weights[edge.k] * before];
    };
    for (const bits of rowsOf(net)) {
      const levels = atLevels(net, bits);
      machine.run(Float64Array.from(levels));
      machine.post.forEach((values, l) => (lit[l] = Math.max(lit[l], largest(values))));
      for (const edge of this.edges) {
        const before = edge.source[0] === "x" ? levels[Number(edge.source.slice(1))] : machine.post[edge.layer - 1][edge.column];
        strongestInto[edge.layer] = Math.max(strongestInto[edge.layer], Math.abs(weights[edge.k] * before));
      }
    }
    const strongest = Math.max(...strongestInto);
    const layers = layersOf(net, weights);
    const most = lit.map((value, l) => Math.max(value, strongestInto[l], largest(layers[l].b)));
    const written = (value, layer, signed) => textBeside(Math.abs(value) < this.floorOf(layer) ? 0 : value, most[layer], { signed });
    // values that an activation keeps far below its sums stand beside each other
    const writtenValue = (value, layer) => {
      const { sums, values } = this.scales[layer];
      return textBeside(Math.abs(value) < this.valueFloorOf(layer) ? 0 : value, values < sums ? lit[layer] : most[layer]);
    };
    this.edges.forEach((edge, e) => {
      const { group, title, path, reach, head } = this.edgeNodes[e];
      const [before, term] = termOf(edge, at.post);
      const size = Math.min(1, Math.abs(term) / (strongest || 1));
      const kind = Math.abs(term) < this.floorOf(edge.layer) || !term ? " xmb-none" : term < 0 ? " xmb-minus" : "";
      const isOn = group.classList.contains("xmb-on") ? " xmb-on" : "";
      put(group, "class", `xmb-edge${kind}${isOn}`);
      const { group: label, number, behind, x } = this.labelNodes[e];
      put(label, "class", `xmb-label${kind}${label.classList.contains("xmb-on") ? " xmb-on" : ""}`);
      const words = written(term, edge.layer, true);
      if (number.textContent !== words) {
        number.textContent = words;
        const { isStacked } = this.shape;
        const width = isStacked ? 7.4 * Math.max(words.length, edge.symbol.length) : 7.4 * (words.length + edge.symbol.length) + 5;
        put(behind, "x", px(x - width / 2));
        put(behind, "width", px(width));
      }
      const headSize = 8 + 5 * size;
      const tip = edge.way(1);
      const near = edge.way(0.97);
      const length = Math.hypot(tip[0] - near[0], tip[1] - near[1]) || 1;
      const u = [(tip[0] - near[0]) / length, (tip[1] - near[1]) / length];
      const base = [tip[0] - u[0] * headSize, tip[1] - u[1] * headSize];
      const line = edge.isDirect ? Array.from({ length: 25 }, (_, n) => edge.way(n / 25)) : [edge.way(0)];
      put(path, "d", pathOf([...line, base]));
      put(reach, "d", pathOf([...line, tip]));
      put(path, "stroke-width", px(kind === " xmb-none" ? 1.2 : 1.2 + 4.8 * size));
      const half = headSize * 0.45;
      put(head, "points", [tip, [base[0] - u[1] * half, base[1] + u[0] * half], [base[0] + u[1] * half, base[1] - u[0] * half]].map(p => p.map(px).join(" ")).join(", "));
      say(title, `${edge.symbol} = ${general(weights[edge.k], 4)} times ${edge.source} = ${numberText(before)} adds ${words} to ${edge.target}`);
    });
    const gates = this.gates();
    const notes = Object.entries(NOTES).filter(([note]) => Object.values(gates).includes(note));
    const isOpen = !this.isProved() && Object.keys(this.foundNow().gates).length > 0;
    if (isOpen) notes.push(["?", NOT_PROVED]);
    say(this.idleNote, notes.map(([note, means]) => `${note}: ${means}`).join("; "));
    for (const [name, nodes] of this.unitNodes) {
      const isInput = name[0] === "x";
      const layer = isInput ? -1 : name[0] === "y" ? net.sizes.length - 2 : Number(name.slice(1).split(".")[0]);
      const index = Number(name.slice(1).split(".").at(-1));
      const value = isInput ? input[index] : at.post[layer][index];
      const scale = isInput ? largest(net.levels) : lit[layer];
      const share = isInput || scale > this.valueFloorOf(layer) ? Math.min(1, Math.abs(value) / (scale || 1)) : 0;
      put(nodes.lit, "fill", value < 0 ? "var(--ember)" : "var(--glow)");
      put(nodes.lit, "fill-opacity", px(share));
      say(nodes.value, isInput ? numberText(value) : writtenValue(value, layer));
      const isStuck = !isInput && layer < net.sizes.length - 2 && isFlat(net.activations[layer], net, at.pre[layer][index]);
      put(nodes.flat, "visibility", isStuck ? "visible" : "hidden");
      const gate = gates[name] || "";
      const isDoubtful = this.isDoubtful(name);
      const short = (gate.length > 12 ? `${gate.slice(0, 11)}…` : gate) + (isDoubtful ? "?" : "");
      say(nodes.gate, short && this.isStale() ? `${short} as found` : short);
      put(nodes.gate, "class", `xmb-halo${this.isStale() || isDoubtful ? " xmb-quiet" : ""}`);
      let sentence = `${name} is ${numberText(value)}`;
      if (!isInput) {
        const symbol = this.symbolsInto(name).at(-1);
        const bias = weights[this.symbols.indexOf(symbol)];
        say(nodes.bias, `${symbol} ${written(bias, layer, true)}`);
        sentence = `${name} adds up to ${written(at.pre[layer][index], layer)}, gives ${writtenValue(value, layer)}`;
      }
      if (isStuck) sentence += "; it is flat here: a small change of its sum hardly changes it";
      if (gate) sentence += `; ${gate}${this.isStale() ? " in the network as it was found" : ""}`;
      if (isDoubtful) sentence += `, not proved: ${NOT_PROVED}`;
      say(nodes.title, sentence);
    }
    const where = row ? `row ${row}` : input.map((value, k) => `x${k} = ${numberText(value)}`).join(", ");
    say(this.netNote, ` on ${where}`);
    say(this.netTitle, `The network on ${where}: ${decisionUnits(net).map((unit, k) => `y${unit} is ${writtenValue(at.outputs[unit], lit.length - 1)}, decided ${decided(at.decisions[k])}`).join("; ")}`);
  }

  // gates and verdict

  /** Whether what a page says was found is of other weights than those that stand. */
  isStale() {
    return !this.options.live && Object.keys(this.moves).length > 0;
  }

  /** Whether the kernel's answer is still to come. */
  isWaiting() {
    return Boolean(this.options.live) && this.found.of !== keyOfState(this.preset, this.moves);
  }

  /** What was found of the network, with gates and notes of its units; null where nobody looked. */
  foundNow() {
    return this.options.live ? this.found : this.net.found;
  }

  gates() {
    const found = this.foundNow();
    return found ? { ...found.idle, ...found.gates } : {};
  }

  /** Whether the gates are more than the closest reading. */
  isProved() {
    return this.foundNow()?.verdict !== "approximate";
  }

  /** Whether the gate of this unit is only the closest reading. */
  isDoubtful(unit) {
    return !this.isProved() && unit in this.foundNow().gates;
  }

  drawWords(values, conditions) {
    const { net } = this;
    const names = rowsOf(net).map(bits => bits.join(""));
    const all = values.flatMap(one => one.decisions);
    const isOne = all.every(bit => bit === all[0]) && nDecisions(net) === 1;
    let now;
    if (net.target) {
      const wrong = names.filter((_, r) => !this.isRight(values[r], r));
      const said = wrong.slice(0, 3).map(row => `${row} is ${values[names.indexOf(row)].decisions.map(bit => (bit < 0 ? "undecided" : `decided ${bit}`)).join(", ")}`);
      if (wrong.length > 3) said.push(`${wrong.length - 3} more are wrong`);
      const target = net.target.name.length < 40 ? net.target.name : "its target";
      now = wrong.length ? `Right on ${names.length - wrong.length} of ${names.length} rows; ${listed(said)}.` : `Right on all ${names.length} rows: it computes ${target}.`;
      if (isOne && wrong.length) now = `${all[0] < 0 ? "Undecided" : `Decides ${all[0]}`} on every row; right on ${names.length - wrong.length} of ${names.length}.`;
    } else {
      const on = names.filter((_, r) => values[r].decisions.includes(1));
      now = isOne ? `${all[0] < 0 ? "Undecided" : `Decides ${all[0]}`} on every row.` : `Decides 1 on ${listed(on) || "no row"}.`;
    }
    const close = conditions.filter(one => one.slack && this.isRounding(one)).map(one => one.row);
    if (close.length) now += ` ${listed([...new Set(close)])}: by rounding alone.`;
    say(this.now, now);
    const { live } = this.options;
    const found = this.foundNow();
    this.foundNote.hidden = !found;
    if (!found) return;
    const verdict = found.verdict.replaceAll("_", " ");
    const gates = Object.entries(found.gates).map(([unit, gate]) => `${unit} ${gate}`).join(", ");
    const moved = Object.keys(this.moves);
    this.foundNote.classList.toggle("xmb-waiting", this.isWaiting());
    put(this.foundNote, "aria-busy", this.isWaiting());
    const parts = [];
    if (live) parts.push(["b", verdict], ["", `: ${found.reason || "…"}`]);
    else if (!moved.length && !this.isProved()) parts.push(["b", "Not proved"], ["", ` (${verdict}): the closest reading is ${gates || "one without gates"}.`]);
    else if (!moved.length) parts.push(["", "Found: "], ["b", verdict], ["", gates ? `, ${gates}.` : ", no unit has a gate."]);
    else {
      const which = moved.length > 4 ? `${moved.length} weights have` : `${listed(moved)} ${moved.length > 1 ? "have" : "has"}`;
      parts.push(["", "Of the network as it was found: "], ["b", this.isProved() ? verdict : `not proved (${verdict})`], ["", `${gates ? `, ${gates}` : ""}. Since then ${which} moved; rows are decided by the weights as they stand.`]);
    }
    const text = JSON.stringify(parts);
    if (this.foundText === text && this.foundNote.childNodes.length) return;
    this.foundText = text;
    this.foundNote.replaceChildren();
    for (const [tag, words] of parts) tag ? make(this.foundNote, tag, {}, words) : this.foundNote.append(words);
  }

  isRight(value, row) {
    return value.decisions.every((bit, k) => bit === this.net.target.tables[k][row]);
  }

  // table, conditions, sliders

  drawTable(values, conditions) {
    const { net } = this;
    const rows = rowsOf(net);
    let anyFlat = false;
    const most = this.columns.map(([l, unit]) => largest(values.map(at => at.post[l][unit])));
    this.rowNodes.forEach((nodes, r) => {
      const at = values[r];
      this.columns.forEach(([l, unit, name], c) => {
        const value = at.post[l][unit];
        say(nodes.cells[c], textBeside(Math.abs(value) < this.valueFloorOf(l) ? 0 : value, most[c]));
        const isStuck = l < net.sizes.length - 2 && isFlat(net.activations[l], net, at.pre[l][unit]);
        anyFlat = anyFlat || isStuck;
        nodes.cells[c].classList.toggle("xmb-stuck", isStuck);
        put(nodes.cells[c], "title", isStuck ? `${name} is flat here: a small change of its sum hardly changes it` : "");
      });
      say(nodes.decides, at.decisions.map(bit => (bit < 0 ? "–" : bit)).join(", "));
      put(nodes.decides, "title", at.decisions.includes(-1) ? `undecided: ${net.rule === "argmax" ? "as large as another output" : "exactly on the threshold"}` : "");
      nodes.line.classList.toggle("xmb-here", atLevels(net, rows[r]).every((level, k) => level === this.input[k]));
      if (!net.target) return;
      say(nodes.wanted, net.target.tables.map(table => table[r]).join(", "));
      const isRight = this.isRight(at, r);
      say(nodes.mark, isRight ? "✓" : "✗");
      say(nodes.word, isRight ? " right" : at.decisions.includes(-1) ? " undecided" : " wrong");
      nodes.verdict.classList.toggle("xmb-wrong", !isRight);
    });
    const rule = net.rule === "argmax" ? (net.sizes.at(-1) === 2 ? "Decided 1 where y1 is larger than y0." : "Decided 1: the output that is larger than all others.") : `Decided 1 where the output is above ${general(net.threshold, 6)}.`;
    const units = [...new Set(net.activations.slice(0, -1))].join(", ");
    const out = net.activations.at(-1) === "identity" ? "" : `, output ${net.activations.at(-1)}`;
    say(this.tableNote, `Units: ${units}${out}. ${rule}${anyFlat ? " Hatched: flat, the unit hardly answers a small change there." : ""}`);
    this.drawConditions(conditions);
  }

  /** Whether only rounding takes a condition off the place where it turns. */
  isRounding({ slack, isOfValues }) {
    const last = this.scales.length - 1;
    return Math.abs(slack) < (isOfValues ? this.valueFloorOf(last) : this.floorOf(last));
  }

  /** The words go where the table is wider than its place, then the units of the first layers. */
  fitTable({ anew = false } = {}) {
    const { tableBox, columns } = this;
    const nLayers = this.net.sizes.length - 2;
    const isTooWide = () => tableBox.scrollWidth > tableBox.clientWidth + 1;
    const show = () => {
      tableBox.classList.toggle("xmb-tight", this.tableState % 2 === 1);
      this.away = Math.floor(this.tableState / 2);
      for (const cell of tableBox.querySelectorAll("[data-layer]")) cell.hidden = Number(cell.dataset.layer) < this.away;
    };
    if (anew) this.tableState = 0;
    show();
    while (isTooWide() && this.tableState < 2 * nLayers + 1) {
      this.tableState += 1;
      show();
    }
    const names = columns.filter(([layer]) => layer < this.away).map(([, , name]) => name);
    say(this.roomNote, names.length ? `No room here for the columns of ${listed(names)}.` : "");
    // what is scrolled sideways is said, and reached by keys
    const isScrolled = isTooWide();
    say(this.tableHint, isScrolled ? " · scroll to the right for the rest" : "");
    if (isScrolled) put(tableBox, "tabindex", "0");
    else tableBox.removeAttribute("tabindex");
  }

  drawConditions(conditions) {
    if (!this.conditionList) return;
    while (this.conditionNodes.length < conditions.length) {
      const line = make(this.conditionList, "li", { class: "xmb-cond" });
      const nodes = { line, row: make(line, "span", { class: "xmb-cond-row" }), text: make(line, "code"), room: null };
      const side = make(line, "span", { class: "xmb-room-of" });
      nodes.bar = make(make(side, "span", { class: "xmb-bar", "aria-hidden": "true" }), "i");
      nodes.room = make(side, "span", { class: "xmb-room" });
      this.conditionNodes.push(nodes);
    }
    const most = largest(conditions.map(one => one.slack)) || 1;
    this.conditionNodes.forEach((nodes, k) => {
      const one = conditions[k];
      nodes.line.hidden = !one;
      nodes.line.style.display = one ? "" : "none";
      if (!one) return;
      put(nodes.line, "data-key", one.row);
      put(nodes.line, "data-k", one.row);
      put(nodes.text, "title", `in numbers: ${one.numbers}`);
      say(nodes.row, one.row);
      this.writeInequality(nodes.text, one.inequality);
      const share = (50 * Math.abs(one.slack)) / most;
      nodes.bar.style.width = `${px(share)}%`;
      nodes.bar.style.left = `${px(one.slack < 0 ? 50 - share : 50)}%`;
      nodes.line.classList.toggle("xmb-fails", !one.satisfied);
      const by = this.isRounding(one) ? "rounding" : numberText(Math.abs(one.slack));
      say(nodes.room, one.slack === 0 ? "fails: exactly on the threshold" : `${one.satisfied ? "holds" : "fails"} by ${by}`);
    });
  }

  drawSliders() {
    const { net } = this;
    for (const [key, slider] of this.sliders) {
      const k = this.symbols.indexOf(key);
      const value = k < 0 ? this.input[Number(key.slice(1))] : this.weights[k];
      const start = k < 0 ? null : net.weights[k];
      const active = slider.row.getRootNode().activeElement;
      const place = slider.placeOf(value);
      if (active !== slider.range || Math.abs(Number(slider.range.value) - place) > 1e-3) slider.range.value = place;
      // what is being written is left alone
      if (!slider.isWriting && (active !== slider.number || Number(slider.number.value) !== value)) {
        const text = general(value, 4);
        if (slider.number.value !== text) slider.number.value = text;
      }
      slider.row.classList.toggle("xmb-moved", k >= 0 && value !== start);
      put(slider.range, "aria-valuetext", general(value, 4));
      const mark = k < 0 ? slider.high : slider.placeOf(start);
      const share = (mark - slider.low) / (slider.high - slider.low);
      // a thumb is 16 px wide, and its middle never reaches the ends of the rail
      slider.tick.style.left = `calc(8px + ${px(100 * share)}% - ${px(16 * share)}px)`;
      slider.tick.hidden = k < 0;
    }
    const gates = this.gates();
    for (const [name, note] of this.gateNotes) say(note, gates[name] ? ` · ${gates[name]}${this.isDoubtful(name) ? "?" : ""}${this.isStale() ? " as found" : ""}` : "");
  }

  writeCode() {
    if (this.codeBox.open) say(this.code, codeOf(this.net, this.weights));
  }

  // the plane

  drawPlane() {
    const { net } = this;
    const isCurve = this.axes.length === 1;
    const side = Math.max(220, Math.min(this.width.plane, 430));
    const height = isCurve ? Math.round(side * 0.75) : side;
    const pad = { left: 46, right: 14, top: 12, bottom: 40 };
    const [low, high] = net.levels;
    const [least, most] = [Math.min(low, high), Math.max(low, high)];
    const reach = [least - (most - least) / 2, most + (most - least) / 2];
    this.box = isCurve ? [reach] : [reach, reach];
    const inner = { x: pad.left, y: pad.top, w: side - pad.left - pad.right, h: height - pad.top - pad.bottom };
    const along = value => inner.x + ((value - reach[0]) / (reach[1] - reach[0])) * inner.w;
    const up = value => inner.y + inner.h - ((value - reach[0]) / (reach[1] - reach[0])) * inner.h;
    this.inverse = ([x, y]) => [
      reach[0] + ((x - inner.x) / inner.w) * (reach[1] - reach[0]),
      reach[0] + ((inner.y + inner.h - y) / inner.h) * (reach[1] - reach[0]),
    ];
    this.stage.style.width = `${side}px`;
    this.stage.style.height = `${height}px`;
    const svg = this.planeSvg;
    put(svg, "width", side);
    put(svg, "height", height);
    put(svg, "viewBox", `0 0 ${side} ${height}`);
    svg.replaceChildren();
    const title = make(svg, "title", { id: `${this.id}-plane-title` });
    const machine = new Machine(net, this.weights);
    const view = { svg, inner, along, up, reach, machine, side, height };
    const said = isCurve ? this.drawCurve(view) : this.drawSurface(view);
    say(this.planeSays, `${said} ${POINTS}`);
    say(title, `${isCurve ? "The output over the input" : `The plane of x${this.axes[0]} and x${this.axes[1]}`}. ${said}`);
    make(svg, "rect", { class: "xmb-frame", x: inner.x, y: inner.y, width: inner.w, height: inner.h });
    net.given_levels.forEach((given, bit) => {
      const [level, text] = [net.levels[bit], general(given, 4)];
      make(svg, "text", { x: px(along(level)), y: inner.y + inner.h + 15, "text-anchor": "middle" }, text);
      make(svg, "path", { class: "xmb-frame", d: `M${px(along(level))} ${inner.y + inner.h}v4` });
      if (!isCurve) {
        make(svg, "text", { x: inner.x - 8, y: px(up(level) + 4), "text-anchor": "end" }, text);
        make(svg, "path", { class: "xmb-frame", d: `M${inner.x} ${px(up(level))}h-4` });
      }
    });
    const [off, on] = net.given_levels.map(level => general(level, 4));
    const names = low === 0 && high === 1 ? "" : ` (bit 0 is ${off}, bit 1 is ${on})`;
    make(svg, "text", { "data-key": `x${this.axes[0]}`, "data-k": `x${this.axes[0]}`, x: inner.x + inner.w / 2, y: height - 7, "text-anchor": "middle" }, `x${this.axes[0]}${names}`);
    if (!isCurve) make(svg, "text", { "data-key": `x${this.axes[1]}`, "data-k": `x${this.axes[1]}`, x: 8, y: inner.y + inner.h / 2 }, `x${this.axes[1]}`);
    const [x, y] = isCurve ? [this.input[0], null] : this.axes.map(axis => this.input[axis]);
    this.point.style.left = `${px(along(between(x, ...reach)))}px`;
    this.point.style.top = `${px(isCurve ? this.curveAt : up(between(y, ...reach)))}px`;
    put(this.point, "aria-valuemin", reach[0]);
    put(this.point, "aria-valuemax", reach[1]);
    put(this.point, "aria-valuenow", x);
    put(this.point, "aria-valuetext", this.axes.map(axis => `x${axis} is ${numberText(this.input[axis])}`).join(", "));
    const others = this.input.map((value, k) => [k, value]).filter(([k]) => !this.axes.includes(k));
    const fixed = others.map(([k, value]) => `x${k} is fixed at ${numberText(value)}`).join(", ");
    say(this.planeNote, fixed && ` · ${fixed}; move ${others.length > 1 ? "their sliders" : "its slider"}`);
  }

  drawSurface({ svg, inner, along, up, reach, machine }) {
    const { net, axes, decision } = this;
    const cut = cutPlane(machine, { axes, held: this.input, box: this.box, decision });
    const hasSteps = net.activations.some(name => name === "heaviside" || name === "sign");
    const n = hasSteps ? GRID_OF_STEPS : GRID;
    const values = new Float64Array(n * n);
    const isSmooth = !cut;
    // of smooth units after the first layer, where each one's sum is zero
    const deeper = [];
    if (isSmooth) {
      net.sizes.slice(2, -1).forEach((size, l) => {
        for (let unit = 0; unit < size; unit += 1) deeper.push({ l: l + 1, unit, values: new Float64Array(n * n) });
      });
    }
    const input = Float64Array.from(this.input);
    let [lowest, highest, bound] = [Infinity, -Infinity, 0];
    for (let j = 0; j < n; j += 1) {
      input[axes[1]] = reach[0] + ((j + 0.5) / n) * (reach[1] - reach[0]);
      for (let i = 0; i < n; i += 1) {
        input[axes[0]] = reach[0] + ((i + 0.5) / n) * (reach[1] - reach[0]);
        const value = machine.distance(input, decision);
        values[j * n + i] = value;
        lowest = Math.min(lowest, value);
        highest = Math.max(highest, value);
        for (const one of deeper) one.values[j * n + i] = machine.pre[one.l][one.unit];
      }
    }
    bound = Math.max(Math.abs(lowest), Math.abs(highest));
    // the rows of this plane too, which the grid may pass by
    const marks = this.rowMarks(along, up, machine);
    const bits = new Set(marks.map(mark => mark.bit));
    const isOn = highest > 0 || bits.has(1);
    const isOff = lowest < 0 || bits.has(0);
    const hasArea = isZeroSomewhere(values, n);
    const isAllOne = isOn + isOff + (hasArea || bits.has(-1)) === 1;
    const isConstant = highest - lowest <= this.floor && isAllOne;
    this.paint(values, n, { bound, isConstant, inner, hasSteps });
    if (cut) {
      const inside = cut.borders.filter(border => border.layer > 0 && border.layer < net.sizes.length - 2);
      for (const { unit, cut: [p, q] } of inside) {
        this.drawLine(svg, [[along(p[0]), up(p[1])], [along(q[0]), up(q[1])]], unit, null);
      }
    }
    for (const one of deeper) {
      const parts = contour(one.values, n, this.box).map(([p, q]) => [[along(p[0]), up(p[1])], [along(q[0]), up(q[1])]]);
      this.drawLine(svg, parts.flat(), unitName(net, one.l, one.unit), null);
    }
    const edges = cut ? cut.edges : contour(values, n, this.box);
    const d = edges.map(ring => pathOf(ring.map(([x, y]) => [along(x), up(y)]))).join("");
    const output = `y${decisionUnits(net)[decision]}`;
    const keys = [output, ...this.symbolsInto(output)].join(" ");
    if (d) make(make(svg, "path", { class: "xmb-boundary", "data-key": output, "data-k": keys, d }), "title", {}, "the decision changes here");
    this.drawUnitLines(svg, along, up, inner, marks);
    this.drawRowMarks(svg, marks);
    const [score, tied] = net.rule === "argmax" ? ["score", "as large as another output"] : ["output", "exactly on the threshold"];
    if (isConstant) {
      const value = lowest + cutOf(net);
      const said = isOn || isOff ? `decides ${isOn ? 1 : 0}` : `undecided, ${tied}`;
      return `The ${score} is the same everywhere here: ${numberText(Math.abs(value) < this.floor ? 0 : value)}; ${said}.`;
    }
    if (!isOn && !isOff) return `Undecided everywhere here: ${tied}.`;
    const undecided = marks.filter(mark => mark.bit < 0).map(mark => mark.name || "a mark between rows");
    const but = undecided.length && !hasArea ? ` But for ${listed(undecided)}, ${tied}: undecided.` : "";
    if (!hasArea && isOn !== isOff) return `Decides ${isOn ? 1 : 0} everywhere here.${but}`;
    const colours = [isOn && "Blue: decides 1", isOff && "red: decides 0", hasArea && `grey: undecided, ${tied}`, "thick: where the decision changes"];
    const said = colours.filter(Boolean).join("; ");
    const thin = net.sizes.length > 3 ? " Thin: the same for units of deeper layers." : "";
    return `${said[0].toUpperCase()}${said.slice(1)}.${but} Dashed: a unit's sum is zero, ticks to where it is positive.${thin}`;
  }

  /** The shading: how far the score is from the threshold. */
  paint(values, n, { bound, isConstant, inner, hasSteps }) {
    const { canvas } = this;
    if (canvas.width !== n) canvas.width = canvas.height = n;
    Object.assign(canvas.style, { left: `${inner.x}px`, top: `${inner.y}px`, width: `${inner.w}px`, height: `${inner.h}px`, imageRendering: hasSteps ? "pixelated" : "auto" });
    const { paper, pos, neg, line } = coloursOf(this.root);
    const context = canvas.getContext("2d");
    const image = context.createImageData(n, n);
    const at = Math.max(bound, this.floor) || 1;
    for (let j = 0; j < n; j += 1) {
      for (let i = 0; i < n; i += 1) {
        const value = values[j * n + i];
        const share = isConstant ? 0.35 : 0.14 + 0.5 * Math.min(1, Math.abs(value) / at);
        const ink = value === 0 ? line : value > 0 ? pos : neg;
        // 0 is light and 1 is strong, so that they differ without colour too
        const part = value === 0 ? 1 : value > 0 ? share : share * 0.62;
        const pixel = 4 * ((n - 1 - j) * n + i);
        for (let c = 0; c < 3; c += 1) image.data[pixel + c] = paper[c] + (ink[c] - paper[c]) * part;
        image.data[pixel + 3] = 255;
      }
    }
    context.putImageData(image, 0, 0);
  }

  /** A bent line of a deeper unit, or one of the first layer with its name. */
  drawLine(svg, points, unit, dash) {
    const keys = [unit, ...this.symbolsInto(unit)].join(" ");
    const group = make(svg, "g", { class: dash ? "xmb-line" : "xmb-line xmb-thin", "data-key": unit, "data-k": keys });
    let d = "";
    for (let k = 0; k + 1 < points.length; k += 2) d += pathOf([points[k], points[k + 1]]);
    make(group, "path", { class: "xmb-reach", d });
    make(group, "path", dash ? { d, "stroke-dasharray": dash } : { d, "stroke-width": 0.9, "stroke-opacity": 0.55 });
    make(group, "title", {}, `${unit}: its sum passes ${dash ? "zero" : "a kink"} here`);
    return group;
  }

  drawUnitLines(svg, along, up, inner, marks) {
    const { net, axes } = this;
    const { W, b } = layersOf(net, this.weights)[0];
    const names = [];
    W.forEach((row, unit) => {
      const name = unitName(net, 0, unit);
      const rest = row.reduce((sum, weight, k) => (axes.includes(k) ? sum : sum + weight * this.input[k]), b[unit]);
      const kind = piecesOf(net.activations[0], net);
      const kinks = kind ? kind.kinks : [0];
      kinks.forEach((kink, number) => {
        const f = [row[axes[0]], row[axes[1]], rest - kink];
        const cut = lineIn(f, this.box);
        if (!cut) return;
        const [p, q] = cut.map(([x, y]) => [along(x), up(y)]);
        const group = this.drawLine(svg, [p, q], name, DASHES[unit % DASHES.length]);
        const size = Math.hypot(f[0], f[1]);
        const out = [f[0] / size, -f[1] / size];
        let ticks = "";
        for (const share of [0.2, 0.5, 0.8]) {
          const at = [0, 1].map(axis => p[axis] + share * (q[axis] - p[axis]));
          ticks += pathOf([at, [at[0] + 8 * out[0], at[1] + 8 * out[1]]]);
        }
        make(group, "path", { d: ticks });
        const word = kinks.length < 2 ? name : `${name} ${number ? "full" : "on"}`;
        const half = word.length * 3.6;
        const spots = [0.1, 0.9, 0.3, 0.7, 0.2, 0.8, 0.4, 0.6].map(share => {
          const x = p[0] + share * (q[0] - p[0]) + out[0] * (half * Math.abs(out[0]) + 13);
          const y = p[1] + share * (q[1] - p[1]) + out[1] * (half * Math.abs(out[0]) * 0.3 + 13);
          return [between(x, inner.x + half + 3, inner.x + inner.w - half - 3), between(y, inner.y + 9, inner.y + inner.h - 8)];
        });
        const corners = net.levels.flatMap(x => net.levels.map(y => [along(x), up(y), 20]));
        const written = marks.filter(mark => mark.text).map(({ text, textX, textY, isLeft }) => {
          const wide = text.length * 3.8;
          return [textX + (isLeft ? -wide : wide), textY - 4, wide];
        });
        const clear = ([x, y]) => [...names, ...corners, ...written].reduce((sum, [a, c, w = 22]) => sum + Math.max(0, w + half - Math.abs(a - x)) * Math.max(0, 16 - Math.abs(c - y)), 0);
        const spot = spots.reduce((best, one) => (clear(one) < clear(best) - 1e-9 ? one : best));
        names.push(spot);
        make(group, "text", { class: "xmb-halo", x: px(spot[0]), y: px(spot[1] + 4), "text-anchor": "middle" }, word);
      });
    });
  }

  /** The four corners of the plane: what is decided there, and where a row's name stands. */
  rowMarks(along, up, machine) {
    const { net, axes } = this;
    const rows = rowsOf(net);
    const [low, high] = net.levels;
    const marks = [];
    for (const a of [0, 1]) {
      for (const b of [0, 1]) {
        const input = Float64Array.from(this.input);
        [input[axes[0]], input[axes[1]]] = [net.levels[a], net.levels[b]];
        const row = rows.find(bits => bits.every((bit, k) => net.levels[bit] === input[k]));
        const name = row ? row.join("") : "";
        const score = machine.distance(input, this.decision);
        const bit = decide(score, 0);
        const isWrong = Boolean(row && net.target) && bit !== net.target.tables[this.decision][rows.indexOf(row)];
        const [x, y] = [along(net.levels[a]), up(net.levels[b])];
        const isLeft = high > low ? a === 0 : a === 1;
        const [textX, textY] = [x + (isLeft ? -13 : 13), y + (b === (high > low ? 1 : 0) ? -12 : 21)];
        marks.push({ name, row, bit, isWrong, x, y, isLeft, textX, textY, text: isWrong ? `${name} ✗` : name });
      }
    }
    return marks;
  }

  drawRowMarks(svg, marks) {
    for (const { name, row, bit, isWrong, x, y, isLeft, textX, textY, text } of marks) {
      const group = make(svg, "g", { class: "xmb-row-mark", ...(row ? { "data-key": name, "data-k": name } : {}) });
      if (bit < 0) make(group, "path", { d: `M${px(x - 6)} ${px(y - 6)}l12 12m0 -12l-12 12`, fill: "none" });
      else make(group, "circle", { cx: px(x), cy: px(y), r: 7.5, fill: bit ? "var(--ink)" : "var(--paper)" });
      make(group, "title", {}, `${name ? `row ${name}` : "held between rows"}: ${bit < 0 ? "undecided" : `decides ${bit}${isWrong ? ", wrong" : ""}`}`);
      if (name) make(group, "text", { class: `xmb-halo${isWrong ? " xmb-neg" : ""}`, x: px(textX), y: px(textY), "text-anchor": isLeft ? "end" : "start" }, text);
    }
  }

  /** Of one input: the score over it. */
  drawCurve({ svg, inner, along, reach, machine }) {
    const { net, decision } = this;
    const cut = cutOf(net);
    const xs = Array.from({ length: 241 }, (_, k) => reach[0] + (k / 240) * (reach[1] - reach[0]));
    const distanceAt = x => machine.distance(Float64Array.of(x), decision);
    const scoreAt = x => distanceAt(x) + cut;
    const ys = xs.map(scoreAt);
    this.canvas.style.width = "0";
    const [low, high] = [Math.min(...ys, cut), Math.max(...ys, cut)];
    const room = Math.max(high - low, this.floor) * 0.12 || 1;
    const up = value => inner.y + inner.h - ((value - low + room) / (high - low + 2 * room)) * inner.h;
    machine.net.sizes[1] && layersOf(net, this.weights)[0].W.forEach((row, unit) => {
      const b = layersOf(net, this.weights)[0].b[unit];
      const at = -b / row[0];
      if (!(at > reach[0] && at < reach[1])) return;
      const name = unitName(net, 0, unit);
      const group = this.drawLine(svg, [[along(at), inner.y], [along(at), inner.y + inner.h]], name, DASHES[unit % DASHES.length]);
      make(group, "text", { class: "xmb-halo", x: px(along(at) + 4), y: inner.y + 14 + 15 * (unit % 3) }, name);
    });
    make(svg, "path", { class: "xmb-line", d: `M${inner.x} ${px(up(cut))}h${inner.w}`, "stroke-dasharray": "2 4" });
    make(svg, "text", { x: inner.x - 6, y: px(up(cut) + 4), "text-anchor": "end" }, general(cut, 3));
    const output = `y${decisionUnits(net)[decision]}`;
    make(svg, "path", { class: "xmb-boundary", "data-key": output, "data-k": [output, ...this.symbolsInto(output)].join(" "), d: pathOf(xs.map((x, k) => [along(x), up(ys[k])])) });
    rowsOf(net).forEach(([bit]) => {
      const x = net.levels[bit];
      const value = scoreAt(x);
      const group = make(svg, "g", { class: "xmb-row-mark", "data-key": String(bit), "data-k": String(bit) });
      const is = decide(distanceAt(x), 0);
      if (is < 0) make(group, "path", { d: `M${px(along(x) - 6)} ${px(up(value) - 6)}l12 12m0 -12l-12 12`, fill: "none" });
      else make(group, "circle", { cx: px(along(x)), cy: px(up(value)), r: 7.5, fill: is ? "var(--ink)" : "var(--paper)" });
      make(group, "title", {}, `row ${bit}: ${is < 0 ? "undecided" : `decides ${is}`}`);
    });
    this.curveAt = up(scoreAt(between(this.input[0], ...reach)));
    const bits = [...xs, ...net.levels].map(x => decide(distanceAt(x), 0));
    if (Math.max(...ys) - Math.min(...ys) <= this.floor && new Set(bits).size === 1) {
      const said = bits[0] < 0 ? "undecided, exactly on the threshold" : `decides ${bits[0]}`;
      return `The output is the same everywhere here: ${numberText(Math.abs(ys[0]) < this.floor ? 0 : ys[0])}; ${said}.`;
    }
    // two neighbouring points on the threshold are a stretch of it
    const isTied = bits.slice(1, xs.length).some((bit, k) => bit < 0 && bits[k] < 0);
    return `Thick: the output; dotted: the threshold${isTied ? ", and where the output lies on it nothing is decided" : ""}; dashed: where a unit's sum is zero.`;
  }

  /** Below this a sum or a term of a layer is rounding beside what the layer adds up. */
  floorOf(layer) {
    return ROUNDING * this.scales[layer].sums;
  }

  /** The same of a value, after the layer's activation. */
  valueFloorOf(layer) {
    return ROUNDING * this.scales[layer].values;
  }

  /** Everything anew, for the weights and the input as they stand. */
  draw() {
    const { net, weights } = this;
    const values = rowsOf(net).map(bits => evaluate(net, weights, atLevels(net, bits)));
    this.scales = scalesOf(net, weights, values);
    // below this share of the network's own scale an output is rounding
    this.floor = this.valueFloorOf(this.scales.length - 1);
    const conditions = conditionsOf(this.spec, net, weights);
    this.drawWords(values, conditions);
    this.drawSliders();
    this.drawNetwork();
    this.drawPlane();
    this.drawTable(values, conditions);
    this.fitTable();
    this.writeCode();
    if (this.select) this.select.value = String(this.preset);
    this.showMarks();
    this.root.dispatchEvent(new CustomEvent(REDRAWN, { bubbles: true }));
  }
}

/** Which weights of which network: what the kernel's answer is about. */
function keyOfState(preset, moves) {
  return [preset, ...Object.entries(moves).map(([symbol, value]) => `${symbol} ${exact(value)}`)].join("; ");
}

/** The look, once in each document. */
function addStyle(root) {
  const home = root.getRootNode();
  const parent = home.head || home;
  if (parent.querySelector?.("style[data-xmb]")) return;
  const style = document.createElement("style");
  style.dataset.xmb = "";
  style.textContent = CSS;
  parent.append(style);
}

/** Puts a bench into an element.
 *
 * options: `onChange({ moves, preset })` is called at each move of a weight; `moves` and `preset`
 * to begin with; `live` where gates and verdict come later, by `set({ found })`. */
export function mount(el, spec, options = {}) {
  return new Bench(el, spec, options);
}

/** Every element of a page that waits for a bench, each with its spec as JSON inside. */
export function mountAll() {
  for (const el of document.querySelectorAll("[data-xor-mi-bench]:not([data-mounted])")) {
    el.dataset.mounted = "";
    mount(el, JSON.parse(el.querySelector("script").textContent));
  }
}

export default {
  render({ model, el }) {
    const found = () => ({ of: model.get("answered"), ...model.get("found"), verdict: model.get("verdict"), reason: model.get("reason") });
    const bench = mount(el, model.get("spec"), {
      live: true,
      moves: model.get("moves"),
      preset: model.get("preset"),
      found: found(),
      onChange({ moves, preset }) {
        model.set({ moves, preset });
        model.save_changes();
      },
    });
    const follow = () => bench.set({ moves: model.get("moves"), preset: model.get("preset") });
    const answer = () => bench.set({ found: found() });
    model.on("change:moves change:preset", follow);
    model.on("change:answered change:found change:verdict change:reason", answer);
    return () => {
      model.off("change:moves change:preset", follow);
      model.off("change:answered change:found change:verdict change:reason", answer);
      bench.destroy();
    };
  },
};
