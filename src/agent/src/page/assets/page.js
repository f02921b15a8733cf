// Keeps the page as its node sees the site: takes the parts that changed from a stream of events, and says
// when what is shown is old. Start at `listen`. Decides nothing and makes no words about the site.
"use strict";

// The node sends a picture at least every ten seconds; with two missed, what is shown is old.
const OLD_AFTER = 25000;
// How long until the stream is asked for again, when the browser has given it up.
const AGAIN = 3000;

const age = document.getElementById("age");
const ageText = document.getElementById("age-text");
let heard = Date.now();
let lost = false;

function clock(milliseconds) {
  return new Date(milliseconds).toLocaleTimeString();
}

// Times are the reader's own where there is a script, and UTC without.
function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const date = new Date(time.dateTime);
    const today = date.toDateString() === new Date().toDateString();
    time.title = date.toLocaleString();
    time.textContent = today ? date.toLocaleTimeString() : date.toLocaleString();
  }
}

function open(root) {
  return new Set([...root.querySelectorAll("details[open][id]")].map((one) => one.id));
}

function show(parts) {
  for (const part of document.querySelectorAll("[data-part]")) {
    const html = parts[part.dataset.part];
    // What did not change is left alone, so that a screen reader says only what is new.
    if (html === undefined || part.shown === html) continue;
    const first = part.shown === undefined;
    part.shown = html;
    const template = document.createElement("template");
    template.innerHTML = html;
    localTimes(template.content);
    if (first && template.innerHTML === part.innerHTML) continue;
    const opened = open(part);
    part.replaceChildren(template.content);
    for (const one of part.querySelectorAll("details[id]")) one.open = opened.has(one.id);
  }
}

function tell() {
  const old = lost || Date.now() - heard > OLD_AFTER;
  age.classList.toggle("old", old);
  document.body.classList.toggle("old", old);
  const words = old
    ? "Old: the node is not reached. This is how it was at " + clock(heard) + ". Trying again."
    : "Live from " + document.body.dataset.machine;
  if (ageText.textContent !== words) ageText.textContent = words;
}

function listen() {
  const events = new EventSource("events?page");
  events.onmessage = (event) => {
    const picture = JSON.parse(event.data);
    heard = Date.now();
    lost = false;
    document.body.dataset.machine = picture.machine;
    document.title = picture.title;
    show(picture.parts);
    tell();
  };
  events.onerror = () => {
    lost = true;
    tell();
    // A browser gives up for good on an answer that is no stream, such as a 503.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, AGAIN);
  };
}

localTimes(document);
setInterval(tell, 1000);
listen();
