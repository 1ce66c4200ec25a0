// SPDX-License-Identifier: Apache-2.0
// Shows the panels of panels.json with figures of Prometheus, and asks again every half minute. No figure or label is ever read as HTML.
'use strict';

const WIDE = 640, TALL = 190, LEFT = 58, RIGHT = 8, TOP = 8, BOTTOM = 20, POINTS = 120, REFRESH = 30000, MOST = 40, COLOURS = 8;
const find = (id) => document.getElementById(id);
// Without the login that the address may have: a request must not.
const HERE = location.origin + location.pathname.replace(/[^/]*$/, '');
let boards = [], turn = 0;

function make(name, attributes = {}, ...children) {
  const inSvg = ['svg', 'line', 'text', 'polyline'].includes(name);
  const made = inSvg ? document.createElementNS('http://www.w3.org/2000/svg', name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) { made.setAttribute(key, value); }
  made.append(...children);
  return made;
}

// Numbers for people.
const round = (value, digits = 3) => Number(value.toPrecision(digits)).toLocaleString('en', { maximumFractionDigits: 6 });
function scaled(value, base, units) {
  let place = 0;
  while (Math.abs(value) >= base && place < units.length - 1) { value /= base; place += 1; }
  return `${round(value)} ${units[place]}`;
}
function duration(seconds) {
  const size = Math.abs(seconds);
  if (size === 0) { return '0 s'; }
  if (size < 0.001) { return `${round(seconds * 1e6, 2)} µs`; }
  if (size < 1) { return `${round(seconds * 1000)} ms`; }
  for (const [name, length] of [['d', 86400], ['h', 3600], ['min', 60]]) { if (size >= 2 * length) { return `${round(seconds / length, 2)} ${name}`; } }
  return `${round(seconds)} s`;
}
const FORMS = {
  percent: (value) => `${round(value)} %`, reqps: (value) => `${round(value)}/s`, s: duration,
  bytes: (value) => scaled(value, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB']), Bps: (value) => scaled(value, 1000, ['B/s', 'kB/s', 'MB/s', 'GB/s']),
  none: (value) => round(value),
};
const shown = (panel, value) => (Number.isFinite(value) ? (FORMS[panel.unit] || FORMS.none)(value) : '–');
function grade(panel, value) {
  if (!Number.isFinite(value) || (panel.warn === null && panel.bad === null)) { return ''; }
  const beyond = (limit) => limit !== null && (panel.low ? value < limit : value >= limit);
  return beyond(panel.bad) ? 'bad' : beyond(panel.warn) ? 'warn' : 'good';
}
const clock = (seconds, wide) => new Date(seconds * 1000).toLocaleString([], wide > 2 * 86400 ? { weekday: 'short', day: 'numeric' } : { hour: '2-digit', minute: '2-digit' });

// Prometheus.
async function ask(path, parameters) {
  const answer = await fetch(`${HERE}api/v1/${path}?${new URLSearchParams(parameters)}`, { cache: 'no-store' });
  const data = await answer.json().catch(() => ({}));
  if (data.status !== 'success') { throw new Error(data.error || `Prometheus answers ${answer.status}`); }
  return data.data.result;
}
const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/\\/g, '\\\\');
const filled = (expr, rate) => expr.replaceAll('$app', find('app').value ? escaped(find('app').value) : '.+').replaceAll('$rate', `${rate}s`);
const named = (legend, labels) => (legend.replace(/\{\{(\w+)\}\}/g, (_, name) => labels[name] || '').trim() || Object.values(labels).join(' ') || 'value');

// Panels.
async function stat(panel, body, span) {
  const [found] = await ask('query', { query: filled(panel.queries[0].expr, span.rate) });
  const value = found ? Number(found.value[1]) : NaN;
  body.replaceChildren(make('div', { class: `number ${grade(panel, value) || (Number.isFinite(value) ? '' : 'none')}` }, shown(panel, value)));
}

async function table(panel, body, span) {
  const found = await ask('query', { query: filled(panel.queries[0].expr, span.rate) });
  if (!found.length) { body.replaceChildren(make('p', { class: 'none' }, 'none')); return; }
  const columns = panel.columns.filter((name) => found.some((one) => one.metric[name]));
  const rows = found.map((one) => ({ cells: columns.map((name) => one.metric[name] || ''), value: Number(one.value[1]) }));
  rows.sort((one, other) => one.cells.join(' ').localeCompare(other.cells.join(' ')));
  const head = make('tr', {}, ...columns.map((name) => make('th', { scope: 'col' }, name)), ...(panel.value ? [make('th', { scope: 'col', class: 'value' }, panel.value)] : []));
  const lines = rows.map((row) => make('tr', {}, ...row.cells.map((text) => make('td', {}, text)),
    ...(panel.value ? [make('td', { class: `value ${grade(panel, row.value)}` }, shown(panel, row.value))] : [])));
  body.replaceChildren(make('div', { class: 'scroll' }, make('table', {}, make('thead', {}, head), make('tbody', {}, ...lines))));
}

async function lines(panel, body, span) {
  const answers = await Promise.all(panel.queries.map((query) => ask('query_range', { query: filled(query.expr, span.rate), start: span.start, end: span.end, step: span.step })));
  let series = answers.flatMap((found, place) => found.map((one) => ({
    name: named(panel.queries[place].legend, one.metric),
    points: one.values.map(([time, value]) => [time, Number(value)]).filter(([, value]) => Number.isFinite(value)),
  }))).filter((one) => one.points.length);
  series.sort((one, other) => one.name.localeCompare(other.name, 'en', { numeric: true }));
  const left = series.length - MOST;
  series = series.slice(0, MOST);
  if (!series.length) { body.replaceChildren(make('p', { class: 'none' }, 'no figures')); return; }
  body.replaceChildren(...plot(panel, series, span), ...(left > 0 ? [make('p', { class: 'none' }, `and ${left} more: choose an app`)] : []));
}

function plot(panel, series, span) {
  const values = series.flatMap((one) => one.points.map(([, value]) => value));
  const step = nice((Math.max(...values, 0) - Math.min(...values, 0)) / 4 || 1, panel.unit === 'bytes' ? 1024 : 1000);
  const low = Math.floor(Math.min(...values, 0) / step) * step, high = Math.max(Math.ceil(Math.max(...values, 0) / step) * step, low + step);
  const x = (time) => LEFT + (WIDE - LEFT - RIGHT) * (time - span.start) / (span.end - span.start);
  const y = (value) => TOP + (TALL - TOP - BOTTOM) * (high - value) / (high - low);
  const drawn = make('svg', { viewBox: `0 0 ${WIDE} ${TALL}`, role: 'img', 'aria-label': `${panel.title}: ${series.map((one) => one.name).join(', ')}` });
  for (let mark = low; mark <= high + step / 2; mark += step) {
    drawn.append(make('line', { class: 'grid', x1: LEFT, x2: WIDE - RIGHT, y1: y(mark), y2: y(mark) }),
      make('text', { x: LEFT - 6, y: y(mark) + 4, 'text-anchor': 'end' }, shown(panel, Math.abs(mark) < step / 1e6 ? 0 : mark)));
  }
  for (let part = 0; part <= 4; part += 1) {
    const time = span.start + (span.end - span.start) * part / 4;
    drawn.append(make('text', { x: x(time), y: TALL - 5, 'text-anchor': part === 0 ? 'start' : part === 4 ? 'end' : 'middle' }, clock(time, span.end - span.start)));
  }
  series.forEach((one, place) => {
    for (const piece of pieces(one.points, span.step)) {
      const path = piece.map(([time, value]) => `${x(time).toFixed(1)},${y(value).toFixed(1)}`);
      // A single value is a dot of a line.
      drawn.append(make('polyline', { class: `c${place % COLOURS}`, points: (path.length > 1 ? path : [path[0], `${x(piece[0][0]) + 1.5},${y(piece[0][1])}`]).join(' ') }));
    }
  });
  const cells = series.map(() => make('b'));
  const legend = make('ul', { class: 'legend' }, ...series.map((one, place) => make('li', {}, make('i', { class: `c${place % COLOURS}` }), make('span', { title: one.name }, one.name), cells[place])));
  const cursor = make('line', { class: 'cursor', y1: TOP, y2: TALL - BOTTOM, x1: -9, x2: -9 });
  drawn.append(cursor);
  const tell = (time) => series.forEach((one, place) => {
    const near = one.points.reduce((best, point) => (Math.abs(point[0] - time) < Math.abs(best[0] - time) ? point : best));
    cells[place].textContent = Math.abs(near[0] - time) <= span.step * 2 ? shown(panel, near[1]) : '–';
  });
  tell(span.end);
  drawn.addEventListener('pointermove', (event) => {
    const box = drawn.getBoundingClientRect();
    const place = Math.min(Math.max((event.clientX - box.left) * WIDE / box.width, LEFT), WIDE - RIGHT);
    cursor.setAttribute('x1', place); cursor.setAttribute('x2', place);
    tell(span.start + (span.end - span.start) * (place - LEFT) / (WIDE - LEFT - RIGHT));
  });
  drawn.addEventListener('pointerleave', () => { cursor.setAttribute('x1', -9); cursor.setAttribute('x2', -9); tell(span.end); });
  return [drawn, legend];
}

// A line is broken where figures are missing.
function pieces(points, step) {
  const found = [];
  points.forEach((point, place) => {
    if (place && point[0] - points[place - 1][0] <= step * 1.5) { found[found.length - 1].push(point); } else { found.push([point]); }
  });
  return found;
}

// The distance of an axis' marks: 1, 2 or 5 times a power of ten, of the unit that is shown.
function nice(size, base) {
  const unit = size < 1 ? 1 : base ** Math.floor(Math.log(size) / Math.log(base));
  const power = 10 ** Math.floor(Math.log10(size / unit));
  return unit * power * [1, 2, 5, 10].find((factor) => factor * power >= size / unit * 0.999);
}

// The page.
const KINDS = { stat, table, lines };
const board = () => boards.find((one) => one.name === location.hash.slice(1)) || boards[0];

function lay() {
  for (const link of find('boards').children) {
    if (link.hash === `#${board().name}`) { link.setAttribute('aria-current', 'page'); } else { link.removeAttribute('aria-current'); }
  }
  document.title = `${board().title} – Sluice`;
  find('panels').replaceChildren(...board().panels.map((panel) => make('section', { class: panel.wide ? `${panel.kind} wide` : panel.kind, title: panel.about, 'data-panel': panel.title },
    make('h2', {}, panel.title), make('div', {}, make('p', { class: 'none' }, '…')))));
}

async function draw() {
  const mine = turn += 1;
  const wide = Number(find('range').value), step = Math.max(15, Math.ceil(wide / POINTS));
  const end = Math.floor(Date.now() / 1000 / step) * step;
  // A range that holds several samples, however dense the plot is.
  const span = { start: end - wide, end, step, rate: Math.max(120, step) };
  const bodies = [...find('panels').children].map((section) => section.lastElementChild);
  const done = await Promise.allSettled(board().panels.map((panel, place) => KINDS[panel.kind](panel, bodies[place], span)));
  if (mine !== turn) { return; }
  const failed = done.flatMap((one, place) => (one.status === 'rejected' ? [[place, one.reason]] : []));
  for (const [place, reason] of failed) { bodies[place].replaceChildren(make('p', { class: 'bad' }, String(reason.message || reason))); }
  find('state').className = failed.length ? 'bad' : '';
  find('state').textContent = failed.length ? `${failed.length} of ${done.length} panels could not be read: ${failed[0][1].message || failed[0][1]}`
    : `${new Date().toLocaleTimeString()}, every ${REFRESH / 1000} s`;
}

async function apps() {
  const found = await ask('query', { query: 'group by (app, environment) (sluice_release_live)' }).catch(() => []);
  const names = [...new Set(found.map((one) => one.metric.app))].sort();
  find('app').append(...names.map((name) => make('option', { value: name }, name)));
  find('environment').textContent = [...new Set(found.map((one) => one.metric.environment).filter(Boolean))].join(', ');
}

async function begin() {
  boards = (await (await fetch(`${HERE}panels.json`, { cache: 'no-store' })).json()).dashboards;
  find('boards').append(...boards.map((one) => make('a', { href: `#${one.name}` }, one.title)));
  await apps();
  const again = () => { lay(); draw(); };
  window.addEventListener('hashchange', again);
  find('choices').addEventListener('change', draw);
  find('choices').addEventListener('submit', (event) => event.preventDefault());
  again();
  setInterval(() => { if (!document.hidden) { draw(); } }, REFRESH);
  document.addEventListener('visibilitychange', () => { if (!document.hidden) { draw(); } });
}

begin().catch((error) => { find('state').className = 'bad'; find('state').textContent = `The page cannot begin: ${error.message}`; });
