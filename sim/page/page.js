'use strict';
// The walk is a list of operations ("frames"); what the page shows after one of them is found by replaying from the
// first. Numbers arrive as text, so that they read as in the other views of the same walk.
const walk = JSON.parse(document.getElementById('walk').textContent);
const frames = walk.frames, stops = walk.stops, TABLE_MAX = 16;
const at = id => document.getElementById(id);
let op = 0, row = -1; // row −1: the first of each tile

function element(tag, properties, children) {
    const made = Object.assign(document.createElement(tag), properties || {});
    (children || []).forEach(child => made.append(child));
    return made;
}
const grouped = number => String(number).replace(/\B(?=(\d{3})+$)/g, ',');

// ---- the state after an operation ----------------------------------------------------------------------------

// Live slots, and for each the numbers that were last written into it.
function stateAt(index) {
    const numbers = {};
    let slots = [];
    for (let i = 0; i <= index; i++) {
        if (i > 0 && frames[i - 1].op === 'release')
            delete numbers[frames[i - 1].slot];
        if (frames[i].slots)
            slots = frames[i].slots;
        frames[i].writes.forEach(write => { numbers[write[0]] = write[1].split(' '); });
    }
    return {frame: frames[index], stop: stops[frames[index].stop], slots, numbers};
}

// The slot called one of `names` that holds row `wanted`.
function holding(state, names, wanted) {
    return state.slots.find(slot => names.includes(slot.name) && state.numbers[slot.id] && wanted >= slot.row0 &&
        wanted < slot.row0 + slot.rows);
}

function chosenRow(state) {
    return row >= 0 ? row : state.stop.row0;
}

// m, l and O of one row; null for what is not on chip.
function rowState(state, wanted) {
    const found = {};
    [['m', ['m', 'LSE']], ['l', ['l']], ['o', ['O']]].forEach(([key, names]) => {
        const slot = holding(state, names, wanted);
        const width = slot ? slot.cols : 0, begin = slot ? (wanted - slot.row0) * width : 0;
        found[key] = slot ? state.numbers[slot.id].slice(begin, begin + width) : null;
        found[key + 'Slot'] = slot;
    });
    return found;
}

// ---- panels --------------------------------------------------------------------------------------------------

// Of a length from 0 to `most`, beginning at 0; or, for numbers of both signs, from the middle.
function bar(value, most, signed) {
    const inner = element('i'), share = most > 0 && isFinite(value) ? Math.min(1, Math.abs(value) / most) * 100 : 0;
    inner.style.width = (signed ? share / 2 : share) + '%';
    inner.style.left = signed ? (value < 0 ? 50 - share / 2 : 50) + '%' : '0';
    const outer = element('span', {className: 'bar'}, [inner]);
    outer.setAttribute('aria-hidden', 'true');
    return outer;
}

function table(titles, rows) {
    const head = element('tr', {}, titles.map(title => element('th', {scope: 'col'}, title.split('_').flatMap((part, i) => i ? ['_', element('wbr'), part] : [part]))));
    return element('table', {}, [element('thead', {}, [head]), element('tbody', {}, rows)]);
}

function tableRow(title, cells) {
    return element('tr', {}, [element('th', {textContent: title, scope: 'row'})].concat(cells.map(cell =>
        cell instanceof Node ? element('td', {className: 'wide'}, [cell]) : element('td', {textContent: cell}))));
}

const svgName = 'http://www.w3.org/2000/svg';
function svg(tag, attributes) {
    const made = document.createElementNS(svgName, tag);
    Object.keys(attributes).forEach(key => made.setAttribute(key, attributes[key]));
    return made;
}

const sameGrid = (a, b) => a.launch === b.launch && a.head === b.head && a.batch === b.batch;

// What a tile of the grid is at this moment; a tile that was never visited is masked, or not reached yet.
function kindOfTile(state, i, j, shape) {
    const now = state.stop, index = frames[op].stop;
    if (now.tile > 0 && i === Math.floor(now.row0 / shape.rowBox) && j === Math.floor(now.col0 / shape.colBox))
        return 'now';
    const visit = stops.findIndex(stop => stop.tile > 0 && sameGrid(stop, now) &&
        Math.floor(stop.row0 / shape.rowBox) === i && Math.floor(stop.col0 / shape.colBox) === j);
    return visit < 0 ? 'masked' : visit < index ? 'done' : 'ahead';
}

function showGrid(state) {
    const shape = state.stop.tile > 0 ? state.stop : stops.find(stop => stop.tile > 0 && sameGrid(stop, state.stop));
    if (!shape) {
        at('grid').replaceChildren(element('p', {textContent: 'No tile of scores in this launch.'}));
        return;
    }
    const down = Math.ceil(walk.seqlen_q / shape.rowBox), across = Math.ceil(walk.seqlen_k / shape.colBox);
    const picture = svg('svg', {viewBox: `0 0 ${walk.seqlen_k} ${walk.seqlen_q}`, role: 'img', preserveAspectRatio: 'xMidYMid meet'});
    const hatch = svg('pattern', {id: 'hatch', width: 5, height: 5, patternUnits: 'userSpaceOnUse',
        patternTransform: `scale(${Math.max(walk.seqlen_q, walk.seqlen_k) / 200}) rotate(45)`});
    hatch.append(svg('rect', {width: 5, height: 5}), svg('path', {d: 'M0 0V5'}));
    picture.append(svg('defs', {}));
    picture.firstChild.append(hatch);
    const counts = {now: 0, done: 0, ahead: 0, masked: 0};
    for (let i = 0; i < down; i++)
        for (let j = 0; j < across; j++) {
            const kind = kindOfTile(state, i, j, shape);
            counts[kind]++;
            picture.append(svg('rect', {class: kind, x: j * shape.colBox, y: i * shape.rowBox,
                width: Math.min(shape.colBox, walk.seqlen_k - j * shape.colBox),
                height: Math.min(shape.rowBox, walk.seqlen_q - i * shape.rowBox)}));
        }
    picture.setAttribute('aria-label', `${down} by ${across} tiles: ${counts.done} done, ${counts.now} now, ` +
        `${counts.ahead} to come, ${counts.masked} masked`);
    at('grid').replaceChildren(picture);
}

function showTile(state) {
    const slot = state.slots.find(candidate => 'SP'.includes(candidate.name) && state.numbers[candidate.id] &&
        (state.stop.tile === 0 || (candidate.row0 === state.stop.row0 && candidate.col0 === state.stop.col0)));
    if (!slot) {
        at('tile').replaceChildren(element('p', {className: 'key', textContent: 'No scores on chip now.'}));
        return;
    }
    const numbers = state.numbers[slot.id], rows = [], columns = Math.min(slot.cols, TABLE_MAX);
    for (let i = 0; i < Math.min(slot.rows, TABLE_MAX); i++) {
        const made = tableRow('row ' + (slot.row0 + i), numbers.slice(i * slot.cols, i * slot.cols + columns));
        made.className = slot.row0 + i === chosenRow(state) ? 'chosen' : '';
        rows.push(made);
    }
    const titles = [slot.name].concat(Array.from({length: columns}, (_, j) => 'key ' + (slot.col0 + j)));
    const cut = slot.rows > TABLE_MAX || slot.cols > TABLE_MAX;
    at('tile').replaceChildren(table(titles, rows), element('p', {className: 'key',
        textContent: cut ? `The first ${TABLE_MAX} rows and columns of ${slot.rows} x ${slot.cols}.` : ''}));
}

function largest(texts) {
    return texts.map(Number).filter(isFinite).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
}

function showRow(state) {
    const wanted = chosenRow(state), found = rowState(state, wanted), rows = [];
    if (!found.m && !found.l && !found.o) {
        at('row-state').replaceChildren(element('p', {textContent: `Nothing of row ${wanted} is on chip now.`}));
        return;
    }
    const name = found.mSlot && found.mSlot.name === 'LSE' ? 'LSE' : 'm';
    if (found.m)
        rows.push(tableRow(name, [found.m[0], bar(Number(found.m[0]), largest(state.numbers[found.mSlot.id]), true)]));
    if (found.l)
        rows.push(tableRow('l', [found.l[0], bar(Number(found.l[0]), largest(state.numbers[found.lSlot.id]), false)]));
    (found.o || []).forEach((text, c) =>
        rows.push(tableRow(`O[${c}]`, [text, bar(Number(text), largest(found.o), true)])));
    const note = !found.o ? '' : found.oSlot.normalized ? 'O is divided by l.' : 'O is still to be divided by l.';
    at('row-state').replaceChildren(table([`row ${wanted}`, 'now', ''], rows), element('p', {className: 'key', textContent: note}));
}

function showRows(state) {
    const rows = [];
    const begin = state.stop.row0, end = begin + Math.min(state.stop.rows, 64);
    for (let i = begin; i < end; i++) {
        const found = rowState(state, i);
        if (!found.m && !found.l)
            continue;
        const made = tableRow(String(i), [found.m ? found.m[0] : '-', found.l ? found.l[0] : '-']);
        made.className = i === chosenRow(state) ? 'chosen' : '';
        made.addEventListener('click', () => choose(i));
        rows.push(made);
    }
    const lse = holding(state, ['LSE'], begin);
    at('rows').replaceChildren(...(rows.length ? [table(['row', lse ? 'LSE' : 'm', 'l'], rows)] : []));
}

function showChip(state) {
    const parts = [];
    walk.places.forEach((place, index) => {
        const held = state.slots.filter(slot => slot.place === index);
        const total = held.reduce((sum, slot) => sum + slot.bytes, 0);
        parts.push(element('h3', {textContent: `${place.name}: ${grouped(total)} of ${grouped(place.bytes)} bytes`}));
        parts.push(element('div', {className: 'boxes ' + (index === 0 ? 'smem' : 'registers')}, held.map(slot => {
            const box = element('div', {className: 'box'}, [element('strong', {textContent: slot.name}),
                element('div', {textContent: `${slot.rows} x ${slot.cols} ${slot.dtype}`}),
                element('div', {textContent: `${grouped(slot.bytes)} bytes`})]);
            box.style.flex = `${Math.max(1, slot.bytes)} 1 0`;
            if (slot.id === state.frame.slot)
                box.classList.add(state.frame.op === 'release' ? 'leaving' : 'written');
            return box;
        })));
    });
    at('chip').replaceChildren(...parts);
}

function showBytes(state) {
    const names = Object.keys(walk.baselines), titles = ['', 'so far', ''].concat(names);
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
    if (!line)
        return;
    line.setAttribute('aria-current', 'step');
    const box = at('source');
    if (line.offsetTop - box.offsetTop < box.scrollTop + 24 ||
        line.offsetTop - box.offsetTop > box.scrollTop + box.clientHeight - 48)
        box.scrollTop = line.offsetTop - box.offsetTop - box.clientHeight / 3;
}

function showNow(state) {
    const stop = state.stop, rows = `rows ${stop.row0}-${stop.row0 + stop.rows - 1}`;
    const where = stop.tile > 0 ? `tile ${stop.tile} of ${walk.tiles}: ${rows}, keys ${stop.col0}-${stop.col0 + stop.cols - 1}` :
        `end of the block of ${rows}`;
    const more = (walk.batch > 1 ? `, batch ${stop.batch}` : '') + (walk.heads > 1 ? `, head ${stop.head}` : '') +
        (walk.launches.length > 1 ? `, launch ${walk.launches[stop.launch]}` : '');
    at('now').replaceChildren(`operation ${op + 1} of ${frames.length}, ${where}${more}. Line ${state.frame.line}: `,
        element('code', {textContent: `${state.frame.op} ${state.frame.name}`}));
}

// ---- moving about --------------------------------------------------------------------------------------------

function show() {
    const state = stateAt(op);
    [showNow, showGrid, showTile, showRow, showRows, showChip, showBytes, showSource].forEach(panel => panel(state));
    at('slider').value = op;
    at('slider').setAttribute('aria-valuetext', at('now').textContent);
    at('row').value = String(row);
    ['first', 'back', 'back-tile'].forEach(id => { at(id).disabled = op === 0; });
    ['last', 'on', 'on-tile'].forEach(id => { at(id).disabled = op === frames.length - 1; });
    clearTimeout(addressTimer);
    addressTimer = setTimeout(writeAddress, 150);
}

// Only when the reader rests: browsers refuse an address that changes hundreds of times in a few seconds.
let addressTimer = 0;
function writeAddress() {
    const address = `#op=${op + 1}` + (row >= 0 ? `&row=${row}` : '');
    if (location.hash !== address)
        history.replaceState(null, '', address);
}

function go(index) {
    op = Math.max(0, Math.min(frames.length - 1, index));
    show();
}

function choose(wanted) {
    row = wanted >= 0 && wanted < walk.seqlen_q ? wanted : -1;
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

// #op=12 or #tile=3, either may be "last"; &row=2
function fromAddress() {
    const parts = new URLSearchParams(location.hash.slice(1)), wanted = Number(parts.get('row'));
    const number = (text, last) => text === 'last' ? last : Number(text) || 1;
    if (parts.has('row'))
        row = wanted >= 0 && wanted < walk.seqlen_q ? wanted : -1;
    if (parts.has('tile')) {
        const stop = stops.find(candidate => candidate.tile === number(parts.get('tile'), walk.tiles));
        go(stop ? stop.at : 0);
    } else if (parts.has('op')) {
        go(number(parts.get('op'), frames.length) - 1);
    } else {
        go(walk.start);
    }
}

const keys = {
    ArrowLeft: () => go(op - 1),
    ArrowRight: () => go(op + 1),
    PageUp: backTile,
    PageDown: onTile,
    Home: () => go(0),
    End: () => go(frames.length - 1),
    ArrowUp: () => choose(chosenRow(stateAt(op)) - 1),
    ArrowDown: () => choose(chosenRow(stateAt(op)) + 1),
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

function sourceLine(text, state) {
    const begins = text.trim().startsWith('/*'), comment = state.inside || begins;
    state.inside = comment && !text.includes('*/');
    return element('span', {textContent: text || ' ', className: comment ? 'comment' : ''});
}

function build() {
    at('setting').textContent = walk.setting;
    at('ledger').append('Marks: the whole of standard attention, ', element('b'), 'in the textbook\u2019s ledger, ',
        element('b', {className: 'tiled'}), `as kernels do it. Ledger of ${walk.algorithm}: ${walk.ledger}.`);
    at('file').textContent = walk.file;
    const inside = {inside: false};
    at('source').append(element('pre', {}, walk.source.replace(/\n$/, '').split('\n').map(text => sourceLine(text, inside))));
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
    row = walk.row;
    fromAddress();
}

build();
