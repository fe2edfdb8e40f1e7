// Talks to the server's doors. Every refusal becomes a Problem with one line for a person.

const QUERY = /[?&]$/;

/** A refusal, as problem details (RFC 9457): `status` 0 means that the server was not reached. */
export class Problem extends Error {
  constructor(status, detail, lines = [], more = 0) {
    super(detail);
    this.status = status;
    this.lines = lines;
    this.more = more;
  }
}

let ended = () => {};

/** Say what to do when the session is over. */
export function whenEnded(action) {
  ended = action;
}

async function problemOf(answer) {
  try {
    const told = await answer.json();
    return new Problem(
      answer.status,
      told.detail || told.title || `answer ${answer.status}`,
      told.lines,
      told.more,
    );
  } catch {
    return new Problem(answer.status, `the server answered ${answer.status}`);
  }
}

/** Call a door; returns the JSON that it answers with, null where there is none. Throws Problem. */
export async function call(method, path, body = undefined, given = {}) {
  const headers = { accept: "application/json", ...given.headers };
  let sent = body;
  if (body !== undefined && !(body instanceof Blob) && typeof body !== "string") {
    headers["content-type"] = "application/json";
    sent = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: sent, signal: given.signal, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "the server cannot be reached; it is asked again");
  }
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const problem = await problemOf(answer);
  if (problem.status === 401 && !given.ownSession) ended();
  throw problem;
}

/** Write parameters behind a path, leaving out what is empty. */
export function at(path, parameters = {}) {
  const used = Object.entries(parameters).filter(
    ([, value]) => value !== "" && value !== undefined && value !== null,
  );
  const query = new URLSearchParams(used.map(([name, value]) => [name, String(value)])).toString();
  return query ? `${path}?${query}`.replace(QUERY, "") : path;
}

export const get = (path, parameters, given) => call("GET", at(path, parameters), undefined, given);
export const post = (path, body, given) => call("POST", path, body, given);

/** The address of a thumbnail, `edge` pixels long at most. */
export const thumbnail = (digest, edge) => `/v1/images/${encodeURIComponent(digest)}/thumbnail?edge=${edge}`;
/** The address of an image as it is stored. */
export const image = (digest) => `/v1/images/${encodeURIComponent(digest)}`;

/** Steer a batch: cancel, pause, resume or retry; `requests` narrows a retry. Returns how many changed. */
export async function steer(batch, step, requests = []) {
  const body = requests.length ? { requests } : undefined;
  return (await post(`/v1/batches/${encodeURIComponent(batch)}/${step}`, body)).changed;
}

/** A random name of 128 bits; works without TLS, too, where crypto.randomUUID is missing. */
export function once() {
  return [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}

/**
 * Images that came, newest first: those with numbers below `before` that the filters let through, at most `most`, in
 * the shape of an event. Shorter lists than `most` are the last.
 */
export async function images({ kind: _, ...which }, before, most, signal) {
  const found = await get(
    "/v1/requests",
    { ...which, state: "done", newest: true, most, after: before || "" },
    { signal },
  );
  return found.map((one) => {
    const { record, environment, tags = [] } = one.wish;
    return { ...one, record, environment, tags };
  });
}
