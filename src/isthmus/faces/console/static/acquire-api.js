// Talks to the console's own doors for the views of images, in place of an interface server's: lists come in parts
// with a cursor, the ends of requests are asked for, and thumbnails are smaller.

const EDGE = 160;
const MOST_PARTS = 40;
let site = "";

/** A refusal, as problem details (RFC 9457): `status` 0 means that the server was not reached. */
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
    this.lines = [];
    this.more = 0;
  }
}

/** Say which of the sites that the console shows is meant; empty for its own. */
export function of(name) {
  site = name;
}

/** Say what to do when the session is over. */
export function whenEnded(action) {
  ended = action;
}
let ended = () => {};

/** Write parameters behind a path, leaving out what is empty. */
export function at(path, parameters = {}) {
  const used = Object.entries({ ...parameters, ...(site && path.startsWith("/v1/") ? { site } : {}) }).filter(
    ([, value]) => value !== "" && value !== undefined && value !== null,
  );
  const query = new URLSearchParams(used.map(([name, value]) => [name, String(value)])).toString();
  return query ? `${path}?${query}` : path;
}

async function read(path, parameters, given = {}) {
  let answer;
  try {
    answer = await fetch(at(path, parameters), {
      headers: { accept: "application/json" },
      signal: given.signal,
      credentials: "same-origin",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "the server cannot be reached; it is asked again");
  }
  if (answer.ok) return answer.json();
  const told = await answer.json().catch(() => ({}));
  if (answer.status === 401) ended();
  throw new Problem(answer.status, told.detail || told.title || `answer ${answer.status}`);
}

/** Read something: what comes in parts, whole up to `most` items. */
export async function get(path, parameters = {}, given = {}) {
  const { most, ...rest } = parameters;
  const first = await read(path, { ...rest, ...(most ? { limit: Math.min(most, 1000) } : {}) }, given);
  if (!Array.isArray(first.items) || "after" in first) return first;
  const found = first.items;
  let { next } = first;
  for (let parts = 1; next && (!most || found.length < most) && parts < MOST_PARTS; parts += 1) {
    const more = await read(path, { ...rest, limit: Math.min(most ?? 1000, 1000), after: next }, given);
    found.push(...more.items);
    ({ next } = more);
  }
  return most ? found.slice(0, most) : found;
}

const site_ = () => (site ? `&site=${encodeURIComponent(site)}` : "");
/** The address of a thumbnail. */
export const thumbnail = (digest, edge) =>
  `/v1/images/${encodeURIComponent(digest)}/thumbnail?edge=${Math.min(edge, EDGE)}${site_()}`;
/** The address of an image as it is stored. */
export const image = (digest) => at(`/v1/images/${encodeURIComponent(digest)}`);

// A cursor is the number of the last request, as the server writes it: base64url of JSON.
const cursor = (number) => btoa(String(number)).replaceAll("=", "").replaceAll("+", "-").replaceAll("/", "_");

/** Images that came, newest first: those with numbers below `before`, at most `most`, in the shape of an event. */
export async function images({ kind: _, ...which }, before, most, signal) {
  const page = await read(
    "/v1/images",
    { ...which, limit: Math.min(most, 1000), after: before ? cursor(before) : "" },
    { signal },
  );
  return page.items.map((one) => {
    const { record, environment, tags = [] } = one.wish;
    return { ...one, record, environment, tags };
  });
}
