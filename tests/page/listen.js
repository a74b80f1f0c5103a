// Goes into the head of a page under test: remembers whatever a browser would complain about.
'use strict';
const complaints = [];
window.addEventListener('error', event => complaints.push(event.message), true);
window.addEventListener('unhandledrejection', event => complaints.push(String(event.reason)));
['error', 'warn'].forEach(kind => { console[kind] = (...what) => complaints.push(what.join(' ')); });
