'use strict';
// The walk is a list of operations ("frames"), each with what it changed; what the page shows after one of them is found
// by replaying from the first. Numbers arrive as text, so that they read as in the other views of the same walk.
const walk = JSON.parse(document.getElementById('walk').textContent);
const frames = walk.frames, stops = walk.stops, TABLE_MAX = 16, ROWS_MAX = 64;
const at = id => document.getElementById(id);
let op = 0, row = -1; // row −1: the first of each tile

function element(tag, properties, children) {
    const made = Object.assign(document.createElement(tag), properties || {});
    (children || []).forEach(child => made.append(child));
    return made;
}
const grouped = number => String(number).replace(/\B(?=(\d{3})+$)/g, ',');
const setText = (id, text) => { at(id).textContent = text; };

// ---- the state after an operation ----------------------------------------------------------------------------

const holds = (slot, wanted) => wanted >= slot.row0 && wanted < slot.row0 + slot.rows;
const sameHead = (a, b) => a.head === b.head && a.batch === b.batch;

// One operation is taken in: a slot that the one before released is gone, and remembered as it left.
function replay(state, i) {
    const frame = frames[i], before = i > 0 ? frames[i - 1] : null;
    if (before && before.op === 'release') {
        const slot = state.slots.get(before.slot), stop = stops[before.stop];
        state.left.set([stop.batch, stop.head, slot.name, slot.row0].join(), {slot, stop, text: state.texts.get(slot.id)});
        state.slots.delete(before.slot);
        state.texts.delete(before.slot);
    }
    frame.slots.forEach(slot => state.slots.set(slot.id, slot));
    frame.writes.forEach(([id, text]) => state.texts.set(id, text));
}

// slots: what is on chip; texts: the numbers last written there, by slot id; before: what this operation overwrote.
function stateAt(index) {
    const state = {slots: new Map(), texts: new Map(), left: new Map(), before: new Map()};
    for (let i = 0; i < index; i++)
        replay(state, i);
    frames[index].writes.forEach(([id]) => state.before.set(id, state.texts.get(id)));
    replay(state, index);
    const live = Array.from(state.slots.values()).sort((a, b) => a.id - b.id);
    return Object.assign(state, {frame: frames[index], stop: stops[frames[index].stop], live});
}

function numbersOf(text, slot, wanted) {
    const begin = (wanted - slot.row0) * slot.cols;
    return text.split(' ').slice(begin, begin + slot.cols);
}

function chosenRow(state) {
    return row >= 0 ? row : state.stop.row0;
}

// What there is of a row, and in a backward pass of a key.
const rowParts = walk.backward ? [['m', ['m']], ['l', ['l']], ['o', ['dQ', 'dQ sum']]] :
    [['m', ['m', 'LSE']], ['l', ['l']], ['alpha', ['alpha']], ['o', ['O']]];
const keyParts = walk.backward ? [['dk', ['dK']], ['dv', ['dV']]] : [];

// m, l, alpha and O of one row, or what else there is of it: the slot, its numbers, and those that this operation
// overwrote; nothing of what is not on chip.
function rowState(state, wanted, parts = rowParts) {
    const found = {};
    parts.forEach(([key, names]) => {
        const slot = state.live.find(one => names.includes(one.name) && state.texts.has(one.id) && holds(one, wanted));
        if (slot)
            found[key] = {slot, numbers: numbersOf(state.texts.get(slot.id), slot, wanted),
                before: state.before.get(slot.id) ? numbersOf(state.before.get(slot.id), slot, wanted) : null};
    });
    return found;
}

// The same of a row that is not on chip any more, as it left.
function rowAsItLeft(state, wanted) {
    const found = {};
    state.left.forEach(({slot, stop, text}) => {
        const part = rowParts.find(([, names]) => names.includes(slot.name));
        if (part && text && sameHead(stop, state.stop) && holds(slot, wanted))
            found[part[0]] = {slot, numbers: numbersOf(text, slot, wanted)};
    });
    return found;
}

// The largest that m, l, alpha, O and gradients become in the whole walk: bars on one scale can be compared.
function scalesOfWalk() {
    const scales = {m: 0, l: 0, alpha: 0, o: 0, dk: 0, dv: 0}, names = new Map(), parts = rowParts.concat(keyParts);
    frames.forEach(frame => {
        frame.slots.forEach(slot => names.set(slot.id, slot.name));
        frame.writes.forEach(([id, text]) => {
            const part = parts.find(([, known]) => known.includes(names.get(id)));
            if (part)
                scales[part[0]] = text.split(' ').map(Number).filter(isFinite)
                    .reduce((most, x) => Math.max(most, Math.abs(x)), scales[part[0]]);
        });
    });
    return scales;
}
const scales = scalesOfWalk();

// ---- pieces of panels ----------------------------------------------------------------------------------------

// Of a length from 0 to `most`, beginning at 0; or, for numbers of both signs, from the middle.
function bar(value, most, signed) {
    const inner = element('i'), share = most > 0 && isFinite(value) ? Math.min(1, Math.abs(value) / most) * 100 : 0;
    inner.style.width = (signed ? share / 2 : share) + '%';
    inner.style.left = signed ? (value < 0 ? 50 - share / 2 : 50) + '%' : '0';
    const outer = element('span', {className: signed ? 'bar signed' : 'bar'}, [inner]);
    outer.setAttribute('aria-hidden', 'true');
    return outer;
}

// A name may break behind its underscores.
const breakable = name => name.split('_').flatMap((part, i) => i ? ['_', element('wbr'), part] : [part]);

function table(titles, rows) {
    const head = element('tr', {}, titles.map(title => title ? element('th', {scope: 'col'}, breakable(title)) : element('td')));
    return element('table', {}, [element('thead', {}, [head]), element('tbody', {}, rows)]);
}

// A cell is text, a picture, or an element of its own.
function tableRow(title, cells, properties) {
    return element('tr', properties || {}, [element('th', {textContent: title, scope: 'row'})].concat(cells.map(cell =>
        !(cell instanceof Node) ? element('td', {textContent: cell}) :
            cell.tagName === 'TD' ? cell : element('td', {className: 'wide'}, [cell]))));
}

const svgName = 'http://www.w3.org/2000/svg';
function svg(tag, attributes) {
    const made = document.createElementNS(svgName, tag);
    Object.keys(attributes).forEach(key => made.setAttribute(key, attributes[key]));
    return made;
}

// ---- the grid of tiles ---------------------------------------------------------------------------------------

const gridName = stop => [stop.launch, stop.batch, stop.head].join();
const tileName = (i, j) => `${i},${j}`;

// Of each grid: the stop that gives its shape, and at which stops each tile is visited.
const grids = new Map();
stops.forEach((stop, index) => {
    if (stop.tile === 0)
        return;
    if (!grids.has(gridName(stop)))
        grids.set(gridName(stop), {shape: stop, visits: new Map()});
    const visits = grids.get(gridName(stop)).visits;
    const name = tileName(Math.floor(stop.row0 / stop.rowBox), Math.floor(stop.col0 / stop.colBox));
    visits.set(name, (visits.get(name) || []).concat(index));
});

// A tile that is never visited is masked.
function kindOfTile(visits) {
    const index = frames[op].stop;
    return !visits ? 'masked' : visits.includes(index) ? 'now' : visits[0] < index ? 'done' : 'ahead';
}

// The picture keeps its shape within limits, so that one row of many keys can still be seen.
const aspect = Math.min(5, Math.max(1 / 3, walk.seqlen_k / walk.seqlen_q));

function hatch() {
    const pattern = svg('pattern', {id: 'hatch', width: 5, height: 5, patternUnits: 'userSpaceOnUse',
        patternTransform: `scale(${walk.seqlen_k / (200 * aspect)} ${walk.seqlen_q / 200}) rotate(45)`});
    pattern.append(svg('rect', {width: 5, height: 5}), svg('path', {d: 'M0 0V5'}));
    const definitions = svg('defs', {});
    definitions.append(pattern);
    return definitions;
}

const shownGrid = {name: null, picture: null, tiles: []};

function buildGrid(name, grid) {
    const {rowBox, colBox} = grid.shape, down = Math.ceil(walk.seqlen_q / rowBox), across = Math.ceil(walk.seqlen_k / colBox);
    const picture = svg('svg', {viewBox: `0 0 ${walk.seqlen_k} ${walk.seqlen_q}`, role: 'img', preserveAspectRatio: 'none'});
    picture.style.aspectRatio = aspect;
    picture.style.maxWidth = `${13 * aspect}rem`;
    picture.classList.toggle('fine', Math.max(across / aspect, down) > 80);
    picture.append(hatch());
    shownGrid.tiles = [];
    for (let i = 0; i < down; i++)
        for (let j = 0; j < across; j++) {
            const box = svg('rect', {x: j * colBox, y: i * rowBox, width: Math.min(colBox, walk.seqlen_k - j * colBox),
                height: Math.min(rowBox, walk.seqlen_q - i * rowBox)});
            picture.append(box);
            shownGrid.tiles.push({box, visits: grid.visits.get(tileName(i, j))});
        }
    shownGrid.frame = svg('rect', {class: 'frame'});
    shownGrid.mark = svg('path', {class: 'mark'});
    picture.append(shownGrid.frame, shownGrid.mark);
    Object.assign(shownGrid, {name, picture, size: `${down} by ${across} tiles`});
    at('grid').replaceChildren(picture);
}

function showGrid(state) {
    const name = gridName(state.stop), grid = grids.get(name), wanted = chosenRow(state);
    at('scores-panel').classList.toggle('no-grid', !grid);
    if (!grid) {
        shownGrid.name = null;
        at('grid').replaceChildren(element('p', {textContent: 'No tile of scores in this launch.'}));
        return;
    }
    if (shownGrid.name !== name)
        buildGrid(name, grid);
    const counts = {now: 0, done: 0, ahead: 0, masked: 0};
    shownGrid.frame.setAttribute('width', 0);
    shownGrid.tiles.forEach(({box, visits}) => {
        const kind = kindOfTile(visits);
        counts[kind]++;
        if (box.getAttribute('class') !== kind)
            box.setAttribute('class', kind);
        if (kind === 'now')
            ['x', 'y', 'width', 'height'].forEach(side => shownGrid.frame.setAttribute(side, box.getAttribute(side)));
    });
    shownGrid.mark.setAttribute('d', state.stop.ofKeys ? '' : `M0 ${wanted + 0.5}H${walk.seqlen_k}`);
    setText('mark-name', state.stop.ofKeys ? 'no row' : `row ${wanted}`);
    shownGrid.picture.setAttribute('aria-label', `${shownGrid.size}: ${counts.done} done, ${counts.now} now, ` +
        `${counts.ahead} to come, ${counts.masked} masked`);
}

// What the numbers of a tile of scores are, in words.
const meanings = {
    S: () => 'S, the scores: softmax_scale \u00b7 Q K\u1d40.',
    P: slot => slot.normalized ? 'P, the probabilities: e^(S \u2212 m) / l.' : 'P: e^(S \u2212 m), not divided by l.',
    PZ: () => 'PZ: P \u2218 Z / (1 \u2212 p), what dropout leaves of P.',
    dPZ: () => 'dPZ, the gradient of PZ: dO V\u1d40.',
    dP: () => 'dP, the gradient of P: dO V\u1d40, as far as dropout leaves it.',
    dS: () => 'dS, the gradient of S: P \u2218 (dP \u2212 D).',
};

function showTile(state) {
    const slots = state.live.filter(candidate => candidate.name in meanings && state.texts.has(candidate.id) &&
        (state.stop.tile === 0 || (candidate.row0 === state.stop.row0 && candidate.col0 === state.stop.col0)));
    const shown = walk.backward ? slots : slots.slice(0, 1); // P and dS stand side by side for long
    at('tile').replaceChildren(...(shown.length ? shown.flatMap(slot => tileTable(state, slot)) :
        [element('p', {className: 'key', textContent: 'No scores on chip now.'})]));
}

// A tile of scores, and what it is.
function tileTable(state, slot) {
    const rows = [], columns = Math.min(slot.cols, TABLE_MAX), numbers = state.texts.get(slot.id).split(' ');
    for (let i = 0; i < Math.min(slot.rows, TABLE_MAX); i++)
        rows.push(tableRow('row ' + (slot.row0 + i), numbers.slice(i * slot.cols, i * slot.cols + columns),
            {className: slot.row0 + i === chosenRow(state) ? 'chosen' : ''}));
    const titles = [slot.name].concat(Array.from({length: columns}, (_, j) => 'key ' + (slot.col0 + j)));
    const cut = slot.rows > TABLE_MAX || slot.cols > TABLE_MAX;
    return [table(titles, rows), element('p', {className: 'key', textContent: meanings[slot.name](slot) +
        (cut ? ` The first ${TABLE_MAX} rows and columns of ${slot.rows} x ${slot.cols}.` : '')})];
}

// ---- the row state -------------------------------------------------------------------------------------------

function rowLine(name, part, index, most, signed) {
    const number = part.numbers[index], before = part.before && part.before[index] !== number ? part.before[index] : '';
    return tableRow(name, [element('td', {className: 'before', textContent: before}), element('td', {className: 'is', textContent: number}),
        bar(Number(number), most, signed)], {className: before ? 'changed' : ''});
}

const dividedOrNot = slot => slot.normalized ? 'divided by l' : 'still to be divided by l';

const nothingOf = what => element('p', {textContent: `Nothing of ${what} is on chip now.`});

function rowThatLeft(state, wanted) {
    const left = rowAsItLeft(state, wanted), parts = [];
    if (left.m)
        parts.push(`${left.m.slot.name} ${left.m.numbers[0]}`);
    if (left.l)
        parts.push(`l ${left.l.numbers[0]}`);
    if (left.o)
        parts.push(`${left.o.slot.name} ${left.o.numbers.join(' ')}` + (walk.backward ? '' : `, ${dividedOrNot(left.o.slot)}`));
    const itLeft = element('p', {className: 'left', textContent: `It left as ${parts.join(', ')}.`});
    return parts.length ? [nothingOf(`row ${wanted}`), itLeft] : [nothingOf(`row ${wanted}`)];
}

// A line for each column.
const columnLines = (part, scale) => part.numbers.map((_, c) => rowLine(`${part.slot.name}[${c}]`, part, c, scale, true));

function ofRow(state, wanted) {
    const found = rowState(state, wanted), rows = [];
    if (!found.m && !found.l && !found.o)
        return rowThatLeft(state, wanted);
    if (found.m)
        rows.push(rowLine(found.m.slot.name, found.m, 0, scales.m, true));
    if (found.l)
        rows.push(rowLine('l', found.l, 0, scales.l, false));
    if (found.alpha)
        rows.push(rowLine('alpha', found.alpha, 0, scales.alpha, false));
    if (found.o)
        rows.push(...columnLines(found.o, scales.o));
    const note = found.o && !walk.backward ? `O is ${dividedOrNot(found.o.slot)}.` : '';
    return [table([`row ${wanted}`, 'before', 'now', ''], rows), element('p', {className: 'key', textContent: note})];
}

// dK and dV of a key: of the one that has the number of the chosen row, or of the first on chip.
function ofKey(state) {
    const held = state.live.find(slot => ['dK', 'dV'].includes(slot.name) && state.texts.has(slot.id));
    if (!held)
        return [];
    const wanted = row >= 0 ? row : held.row0, found = rowState(state, wanted, keyParts);
    const rows = Object.keys(found).flatMap(key => columnLines(found[key], scales[key]));
    return [rows.length ? table([`key ${wanted}`, 'before', 'now', ''], rows) : nothingOf(`key ${wanted}`)];
}

function showRow(state) {
    const rows = state.stop.ofKeys ? [] : ofRow(state, chosenRow(state));
    at('row-state').replaceChildren(...rows, ...ofKey(state));
}

function showRows(state) {
    const rows = [], begin = state.stop.row0, end = begin + Math.min(state.stop.rows, ROWS_MAX);
    let lse = false;
    for (let i = begin; i < end; i++) {
        const found = rowState(state, i);
        if (!found.m && !found.l)
            continue;
        const made = tableRow(String(i), [found.m ? found.m.numbers[0] : '-', found.l ? found.l.numbers[0] : '-'],
            {className: i === chosenRow(state) ? 'chosen' : ''});
        made.addEventListener('click', () => choose(i));
        rows.push(made);
        lse = lse || Boolean(found.m && found.m.slot.name === 'LSE');
    }
    at('rows').style.visibility = rows.length ? 'visible' : 'hidden';
    at('rows').replaceChildren(...(rows.length ? [table(['row', lse ? 'LSE' : 'm', 'l'], rows)] : []));
}

// ---- what is on chip, and what it cost -----------------------------------------------------------------------

function slotBox(slot, frame) {
    const box = element('li', {className: 'box'}, [element('strong', {textContent: slot.name}),
        element('div', {textContent: `${slot.rows} x ${slot.cols} ${slot.dtype}`}),
        element('div', {textContent: slot.bytes > 0 ? `${grouped(slot.bytes)} bytes` : 'not counted'})]);
    box.dataset.slot = slot.id;
    box.style.flex = `${Math.max(1, slot.bytes)} 1 0`;
    const written = frame.op !== 'store' && (slot.id === frame.slot || frame.writes.some(([id]) => id === slot.id));
    box.classList.toggle('leaving', frame.op === 'release' && slot.id === frame.slot);
    box.classList.toggle('written', frame.op !== 'release' && written);
    return box;
}

function showChip(state) {
    const parts = [];
    walk.places.forEach((place, index) => {
        const held = state.live.filter(slot => slot.place === index || walk.places.length === 1);
        const total = held.reduce((sum, slot) => sum + slot.bytes, 0);
        parts.push(element('h3', {textContent: `${place.name}: ${grouped(total)} of ${grouped(place.bytes)} bytes`}));
        parts.push(element('ul', {className: 'boxes ' + (index === 0 ? 'smem' : 'registers')}, held.map(slot => slotBox(slot, state.frame))));
    });
    at('chip').replaceChildren(...parts);
}

function showBytes(state) {
    const names = Object.keys(walk.baselines), titles = ['', 'so\u00a0far', ''].concat(names);
    const rows = walk.levels.map((level, i) => {
        const now = state.frame.moved[i], whole = names.map(name => walk.baselines[name] ? walk.baselines[name][i] : null);
        const most = Math.max(frames[frames.length - 1].moved[i], ...whole), picture = bar(now, most, false);
        whole.forEach((value, k) => {
            const mark = element('b', {className: k ? 'tiled' : ''});
            mark.style.left = `calc(${most > 0 ? value / most * 100 : 0}% - 2px)`;
            if (value !== null)
                picture.append(mark);
        });
        return tableRow(level, [grouped(now), picture].concat(whole.map(value => value === null ? '-' : grouped(value))));
    });
    at('bytes').replaceChildren(table(titles, rows));
}

function showSource(state) {
    const lines = at('source').querySelectorAll('span'), line = lines[state.frame.line - 1];
    lines.forEach(other => other.removeAttribute('aria-current'));
    setText('line', line ? line.textContent.trim() : '');
    if (!line)
        return;
    line.setAttribute('aria-current', 'step');
    const box = at('source');
    if (line.offsetTop - box.offsetTop < box.scrollTop + 24 ||
        line.offsetTop - box.offsetTop > box.scrollTop + box.clientHeight - 48)
        box.scrollTop = line.offsetTop - box.offsetTop - box.clientHeight / 3;
}

// As the titles of `tilewise step --plain`.
function titleOf(stop) {
    const rows = `rows ${stop.row0}-${stop.row0 + stop.rows - 1}`;
    const where = stop.tile > 0 ? `tile ${stop.tile} of ${walk.tiles}: ${rows}, keys ${stop.col0}-${stop.col0 + stop.cols - 1}` :
        `end of the block of ${stop.ofKeys ? rows.replace('rows', 'keys') : rows}`;
    const more = (walk.batch > 1 ? `, batch ${stop.batch}` : '') + (walk.heads > 1 ? `, ${walk.headName} ${stop.head}` : '') +
        (walk.launches.length > 1 ? `, launch ${walk.launches[stop.launch]}` : '');
    return where + more;
}

function showNow(state) {
    at('now').replaceChildren(`operation ${op + 1} of ${frames.length}, ${titleOf(state.stop)}. Line ${state.frame.line}: `,
        element('code', {textContent: `${state.frame.op} ${state.frame.name}`}));
}

// ---- moving about --------------------------------------------------------------------------------------------

function show() {
    const state = stateAt(op);
    [showNow, showGrid, showTile, showRow, showRows, showChip, showBytes, showSource].forEach(panel => panel(state));
    at('slider').value = op;
    at('slider').setAttribute('aria-valuetext', at('now').textContent);
    at('row').value = String(row);
    // Not `disabled`, which would take the focus from whoever presses the button by keyboard.
    ['first', 'back', 'back-tile'].forEach(id => at(id).setAttribute('aria-disabled', op === 0));
    ['last', 'on', 'on-tile'].forEach(id => at(id).setAttribute('aria-disabled', op === frames.length - 1));
    clearTimeout(addressTimer);
    addressTimer = setTimeout(writeAddress, 150);
}

// Only when the reader rests: browsers refuse an address that changes hundreds of times in a few seconds.
let addressTimer = 0;
function writeAddress() {
    const address = `#op=${op + 1}` + (row === walk.row ? '' : `&row=${row >= 0 ? row : 'first'}`);
    if (location.hash !== address)
        history.replaceState(null, '', address);
}

function go(index) {
    op = Math.max(0, Math.min(frames.length - 1, index));
    show();
}

const isRow = wanted => Number.isInteger(wanted) && wanted >= 0 && wanted < walk.seqlen_q;

function choose(wanted) {
    row = isRow(wanted) ? wanted : -1;
    show();
}

// What a tile shows is what is true after its last operation that was not a release.
function onTile() {
    const next = stops.find(stop => stop.at > op);
    go(next ? next.at : frames.length - 1);
}

function backTile() {
    const before = stops.filter(stop => stop.at < op);
    go(before.length ? before[before.length - 1].at : 0);
}

// #op=12 or #tile=3, either may be "last"; &row=2, or "first" of each tile. What makes no sense is the nearest that does.
function fromAddress() {
    const parts = new URLSearchParams(location.hash.slice(1)), wanted = parts.get('row');
    const number = (text, last) => text === 'last' ? last : Math.max(1, Math.min(last, Math.trunc(Number(text)) || 1));
    row = wanted === 'first' ? -1 : wanted && isRow(Number(wanted)) ? Number(wanted) : walk.row;
    if (parts.has('tile'))
        go(stops.find(stop => stop.tile === number(parts.get('tile'), walk.tiles)).at);
    else
        go(parts.has('op') ? number(parts.get('op'), frames.length) - 1 : walk.start);
}

const keys = {
    ArrowLeft: () => go(op - 1),
    ArrowRight: () => go(op + 1),
    PageUp: backTile,
    PageDown: onTile,
    Home: () => go(0),
    End: () => go(frames.length - 1),
    ArrowUp: () => choose(Math.max(0, chosenRow(stateAt(op)) - 1)),
    ArrowDown: () => choose(Math.min(walk.seqlen_q - 1, chosenRow(stateAt(op)) + 1)),
};

function onKey(event) {
    const scrolls = event.target instanceof Element && event.target.closest('select, .scroll');
    const ours = keys[event.key] && !event.ctrlKey && !event.altKey && !event.metaKey;
    if (!ours || (scrolls && !['ArrowLeft', 'ArrowRight'].includes(event.key)) ||
        (event.target instanceof Element && event.target.closest('select')))
        return;
    event.preventDefault();
    keys[event.key]();
}

// ---- the page as it begins -----------------------------------------------------------------------------------

function sourceLine(text, index, state) {
    const begins = text.trim().startsWith('/*'), comment = state.inside || begins;
    state.inside = comment && !text.includes('*/');
    const line = element('span', {textContent: text || ' ', className: comment ? 'comment' : ''});
    line.dataset.line = index + 1;
    line.style.setProperty('--indent', `${text.length - text.trimStart().length}ch`);
    return line;
}

// The operation with the most slots on chip.
function fullestOperation() {
    const state = {slots: new Map(), texts: new Map(), left: new Map()};
    let fullest = 0, most = 0;
    frames.forEach((_, i) => {
        replay(state, i);
        if (state.slots.size > most)
            [fullest, most] = [i, state.slots.size];
    });
    return fullest;
}

function roomForChip() {
    at('chip').style.minHeight = '';
    showChip(stateAt(fullest));
    at('chip').style.minHeight = `${at('chip').offsetHeight}px`;
}
const fullest = fullestOperation();

// Panels are as high from the first operation on as they will need to be, so that nothing jumps while one steps.
function reserveRoom() {
    const most = (what, limit) => Math.min(limit, stops.reduce((length, stop) => Math.max(length, what(stop)), 0));
    const room = (id, lines) => at(id).style.setProperty('--lines', lines);
    const wide = walk.backward ? ['dQ', 'dQ sum', 'dK', 'dV'] : ['O'];
    const columns = frames.reduce((width, frame) => frame.slots.reduce((cols, slot) => wide.includes(slot.name) ? Math.max(cols, slot.cols) : cols, width), 0);
    room('tile', (1 + most(stop => stop.rows, TABLE_MAX)) * (walk.backward ? 2 : 1) + (walk.backward ? 2 : 0));
    room('row-state', 4 + columns * (walk.backward ? 3 : 1));
    room('rows', 1 + most(stop => stop.rows, ROWS_MAX));
    roomForChip();
    document.body.classList.toggle('long-titles', stops.some(stop => titleOf(stop).length > 48)); // three lines of a phone
}

function describeSource() {
    const inside = {inside: false};
    at('source').append(walk.source ?
        element('pre', {}, walk.source.replace(/\n$/, '').split('\n').map((text, i) => sourceLine(text, i, inside))) :
        element('p', {className: 'key', textContent: 'The program that made this page has no sources of schedules.'}));
}

function describe() {
    setText('setting', walk.setting);
    setText('across', `keys 0-${walk.seqlen_k - 1} \u2192`);
    setText('down', `query rows 0-${walk.seqlen_q - 1} \u2192`);
    at('ledger').append('Marks: the whole of standard attention, ', element('b'), 'in the textbook\u2019s ledger, ',
        element('b', {className: 'tiled'}), `as kernels do it. Ledger of ${walk.algorithm}: ${walk.ledger}.`);
    setText('charge', walk.charge ? `On this machine ${walk.charge}.` : '');
    setText('file', walk.file);
    describeSource();
}

function listen() {
    at('slider').max = frames.length - 1;
    at('slider').addEventListener('input', () => go(Number(at('slider').value)));
    [['first', 'Home'], ['back-tile', 'PageUp'], ['back', 'ArrowLeft'], ['on', 'ArrowRight'], ['on-tile', 'PageDown'], ['last', 'End']]
        .forEach(([id, key]) => at(id).addEventListener('click', keys[key]));
    at('row').append(element('option', {value: '-1', textContent: 'first of the tile'}));
    for (let i = 0; i < walk.seqlen_q; i++)
        at('row').append(element('option', {value: String(i), textContent: String(i)}));
    at('row').addEventListener('change', () => choose(Number(at('row').value)));
    document.addEventListener('keydown', onKey);
    window.addEventListener('hashchange', fromAddress);
    window.addEventListener('resize', () => {
        roomForChip();
        show();
    });
}

describe();
reserveRoom();
listen();
fromAddress();
