// Goes behind everything else in a page under test: walks through it as a reader would, by keyboard, and leaves what it
// saw in <pre id="report">, in the words of `tilewise step --plain`. "complaint:" begins what should not be.
'use strict';
(function () {
    const report = [], text = selector => document.querySelector(selector).textContent;
    const press = key => document.body.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));
    const expect = (what, is, should) => {
        if (is !== should)
            complaints.push(`${what} is ${is}, it should be ${should}`);
    };
    const place = () => text('#now').replace(/^operation (\d+) of.*$/, '$1');
    const panels = () => document.querySelector('main').textContent;

    // "row 0: m 1, l 1.36788, O 1 0.367879": a table, line by line; columns of one thing are one part.
    function tableLine(table) {
        const parts = [];
        table.querySelectorAll('tbody tr').forEach(line => {
            const [, name, column] = line.querySelector('th').textContent.match(/^([^[]*)(\[\d+\])?$/);
            const number = line.querySelector('td.is').textContent;
            if (column && column !== '[0]')
                parts[parts.length - 1] += ` ${number}`;
            else if (name !== 'alpha')
                parts.push(`${name} ${number}`);
        });
        const note = table.nextElementSibling && table.nextElementSibling.textContent.match(/^O is (.*)\.$/);
        return `${table.querySelector('thead th').textContent}: ${parts.concat(note ? [note[1]] : []).join(', ')}`;
    }

    // That of the row, and in a backward pass that of the key.
    function rowLines() {
        return Array.from(document.querySelector('#row-state').children).flatMap(child => {
            const nothing = child.textContent.match(/^Nothing of ((row|key) \d+) is on chip now/);
            return child.tagName === 'TABLE' ? [tableLine(child)] : nothing ? [`${nothing[1]}: nothing`] : [];
        });
    }

    function bytesLines() {
        return Array.from(document.querySelectorAll('#bytes tbody tr'), line =>
            Array.from(line.querySelectorAll('th, td:not(.wide)'), cell => cell.textContent).join(' '));
    }

    // "K 2 x 2 fp16 8", slot by slot; then the sum of each place
    function chipLines() {
        const boxes = Array.from(document.querySelectorAll('#chip .box')).sort((a, b) => a.dataset.slot - b.dataset.slot);
        return boxes.map(box => Array.from(box.children, part => part.textContent).join(' ').replace(/not counted$/, '0')
            .replace(/ bytes$/, '')).concat(Array.from(document.querySelectorAll('#chip h3'), sum => sum.textContent));
    }

    // "0 m 1 l 1.36788", row by row of the tile
    function stateLines() {
        const names = Array.from(document.querySelectorAll('#rows thead th'), title => title.textContent);
        return Array.from(document.querySelectorAll('#rows tbody tr'), line =>
            Array.from(line.children, (cell, i) => i ? `${names[i]} ${cell.textContent}` : cell.textContent).join(' '));
    }

    function tell() {
        report.push(text('#now').replace(/^operation \d+ of \d+, /, '').replace(/\. Line .*/, ''), ...chipLines(),
            ...stateLines(), ...rowLines(), ...bytesLines());
    }

    const total = Number(text('#now').match(/of (\d+),/)[1]);
    press('Home');
    for (let before = ''; before !== place();) { // by tiles, to the end
        before = place();
        press('PageDown');
        if (place() !== before && !(document.getElementById('on-tile').ariaDisabled === 'true' && text('#now').includes('release')))
            tell();
    }
    press('End');
    expect('the last operation', place(), String(total));

    // One operation at a time: back over all of them, and on again, shows the same each time.
    const seen = [];
    for (let i = total; i > 1; i--) {
        seen.push(panels());
        expect('the slider', document.getElementById('slider').value, String(i - 1));
        press('ArrowLeft');
    }
    expect('the first operation', place(), '1');
    for (let i = 2; i <= total; i++) {
        press('ArrowRight');
        expect(`operation ${i} on the way back`, panels(), seen.pop());
        expect('lines marked in the source', document.querySelectorAll('#source [aria-current]').length, 1);
    }

    document.getElementById('slider').value = 2;
    document.getElementById('slider').dispatchEvent(new Event('input'));
    expect('the place that the slider goes to', place(), '3');
    document.getElementById('first').click();
    expect('the place that the first button goes to', place(), '1');
    document.getElementById('last').focus();
    document.getElementById('last').click();
    expect('what has the focus behind the last button', document.activeElement.id, 'last');
    if (!/It left as .*\d|(O|dQ|dQ sum|dK|dV)\[0\]/.test(text('#row-state')))
        complaints.push(`at the end the row state is only "${text('#row-state')}"`);
    expect('the line above the panels', text('#line'), text('#source [aria-current]').trim());
    document.getElementById('first').click();
    const unnamed = Array.from(document.querySelectorAll('button, input, select, svg, .scroll')).filter(control =>
        !control.getAttribute('aria-label') && !control.closest('label'));
    expect('controls without a name', unnamed.length, 0);
    if (document.documentElement.scrollWidth > window.innerWidth)
        complaints.push(`the page is ${document.documentElement.scrollWidth} wide in a window of ${window.innerWidth}`);

    const address = words => {
        history.replaceState(null, '', words);
        window.dispatchEvent(new Event('hashchange'));
    };

    // The address follows when the reader rests, and leads back.
    const later = (milliseconds, what) => setTimeout(what, milliseconds);
    later(1000, () => {
        expect('the address', location.hash.split('&')[0], '#op=1');
        expect('the row in the address', new URLSearchParams(location.hash.slice(1)).get('row'), null);
        address('#tile=last&row=1');
        expect('the row of the address', document.getElementById('row').value, '1');
        expect('the tile of the address', /tile (\d+) of \1:/.test(text('#now')), true);
        address('#op=2.7&row=1.5'); // what makes no sense is the nearest that does
        expect('the place of half an operation', place(), '2');
        expect('the row of half a row', document.getElementById('row').value, String(walk.row));
        address('#tile=99999');
        expect('the tile behind the last', /tile (\d+) of \1:/.test(text('#now')), true);
        document.getElementById('row').value = '-1';
        document.getElementById('row').dispatchEvent(new Event('change'));
        later(1000, () => {
            expect('the first row in the address', new URLSearchParams(location.hash.slice(1)).get('row'), walk.row === -1 ? null : 'first');
            const pre = document.createElement('pre');
            pre.id = 'report';
            pre.textContent = '\n' + report.concat(complaints.map(complaint => 'complaint: ' + complaint)).join('\n') + '\n';
            document.body.append('\n', pre);
        });
    });
})();
