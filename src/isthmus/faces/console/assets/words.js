// Writes numbers, sizes and times for people, in the language of the page.

let dictionary = {};

/** Speak another language: by the English text, with {} for values, what is said in its place. */
export function speak(words) {
  dictionary = words;
}

/** A text in the page's language; each {} in it is one of the values, in their order. */
export function tr(text, ...values) {
  let at = 0;
  return (dictionary[text] ?? text).replaceAll("{}", () => values[at++]);
}

const NUMBERS = new Intl.NumberFormat("en");
const DAY = new Intl.DateTimeFormat("sv", { dateStyle: "short", timeStyle: "short" });
const FULL = new Intl.DateTimeFormat("sv", { dateStyle: "short", timeStyle: "medium" });
const UNITS = ["B", "KB", "MB", "GB", "TB"];

/** The states in the order of a request's life, with those that a bar shows from left to right. */
export const STATES = [
  "done",
  "failed",
  "expired",
  "cancelled",
  "leased",
  "queued",
  "waiting",
  "following",
  "paused",
];

/** What each kind of failure means, and what helps. */
export const KINDS = {
  forbidden: "The environment’s rules do not allow this address.",
  "bad-address": "No source understands this address.",
  unreachable: "The storage server cannot be reached from there.",
  tls: "The storage server’s certificate is not the right one.",
  timeout: "The storage server was too slow.",
  cut: "The connection ended before the content did.",
  gone: "There is nothing at this address.",
  denied: "The storage server does not let the agent read it.",
  throttled: "The storage server asks for patience.",
  server: "The storage server failed.",
  redirects: "Too many redirects.",
  "too-large": "More bytes than allowed.",
  "broken-off": "The storage server failed so often that it is left alone for a while.",
  "not-an-image": "The bytes are no whole image of a known format.",
  refused: "An image beyond the limits.",
  crashed: "The decoder died of it.",
  damaged: "The content was hurt on its way.",
  lost: "Agents took it and were not heard of again.",
  disk: "A disk did not take it.",
};

export const count = (number) => NUMBERS.format(number);

/** "1 image", "2 images". */
export const many = (number, one, more = `${one}s`) => tr(`{} ${number === 1 ? one : more}`, count(number));

export function size(bytes) {
  let at = 0;
  for (; bytes >= 1000 && at < UNITS.length - 1; at += 1) bytes /= 1000;
  return `${at && bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)} ${UNITS[at]}`;
}

/** A moment in the browser's zone, to the minute; empty for none. */
export const minute = (text) => (text ? DAY.format(new Date(text)) : "");
/** The same to the second. */
export const second = (text) => (text ? FULL.format(new Date(text)) : "");
/** The same moment in UTC, as programs write it. */
export const utc = (text) => (text ? new Date(text).toISOString().replace(/\.\d+Z$/, "Z") : "");

/** A length of time, roughly: "12 s", "3 min", "2 h", "5 d". */
export function lasting(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 100) return `${whole} s`;
  if (whole < 6000) return `${Math.round(whole / 60)} min`;
  return whole < 172800 ? `${Math.round(whole / 3600)} h` : `${Math.round(whole / 86400)} d`;
}

export const ago = (text) => `${lasting((Date.now() - new Date(text)) / 1000)} ago`;

/** Images a second, with as many digits as mean something. */
export const rate = (value) => (value >= 10 ? count(Math.round(value)) : value.toFixed(1));

/** The name of an image's place for people. */
export function placeName(filed) {
  if (!filed) return "";
  const name = filed.place_name || filed.place || "";
  return name === "unknown-place" ? tr("Unknown place") : name;
}

/** The first part of that name, for where there is little room. */
export const town = (filed) => placeName(filed).split(",")[0];

/** A day in the browser's zone; empty for none. */
export const day = (text) => minute(text).slice(0, 10);

/** Where on earth, for people; empty where unknown. */
export function position(filed) {
  if (!located(filed)) return "";
  const { latitude, longitude } = filed;
  const north = `${Math.abs(latitude).toFixed(5)}° ${latitude < 0 ? "S" : "N"}`;
  return `${north}, ${Math.abs(longitude).toFixed(5)}° ${longitude < 0 ? "W" : "E"}`;
}

export const located = (filed) => Number.isFinite(filed?.latitude) && Number.isFinite(filed?.longitude);
