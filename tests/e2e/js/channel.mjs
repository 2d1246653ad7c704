// A creator connects a YouTube channel, syncs it and works with it; a stranger looks on. Prints what each saw as JSON.
import { client, must } from "./client.mjs";

const { FUNCTIONS_URL, CHANNEL } = process.env;
const stamp = Date.now();
const password = "correct horse battery";

async function signUp(name) {
  const supabase = client();
  must(await supabase.auth.signUp({ email: `${name}-${stamp}@example.com`, password }));
  return supabase;
}

async function call(supabase, method, path, body) {
  const { session } = must(await supabase.auth.getSession());
  const headers = { Authorization: `Bearer ${session.access_token}`, "Content-Type": "application/json" };
  const answer = await fetch(`${FUNCTIONS_URL}${path}`, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  return { status: answer.status, body: text ? JSON.parse(text) : null };
}

async function location(url) {
  const answer = await fetch(url, { redirect: "manual" });
  return { status: answer.status, url: new URL(answer.headers.get("location")) };
}

const creator = await signUp("creator");
const stranger = await signUp("stranger");

// The browser's part: to the platform, back to the relay, on to the app with code and state in the fragment.
const started = await call(creator, "POST", "/oauth/youtube/authorize", {});
const authorize = new URL(started.body.authorize_url);
if (CHANNEL) authorize.searchParams.set("login_hint", CHANNEL);
const approved = await location(authorize);
const relayed = await location(approved.url);
const { code, state } = Object.fromEntries(new URLSearchParams(relayed.url.hash.slice(1)));

const foreign = await call(stranger, "POST", "/oauth/youtube/callback", { code, state });
const burnt = await call(creator, "POST", "/oauth/youtube/callback", { code, state });

// The stranger's attempt has burnt the state; the creator starts again.
const again = await call(creator, "POST", "/oauth/youtube/authorize", {});
const second = new URL(again.body.authorize_url);
if (CHANNEL) second.searchParams.set("login_hint", CHANNEL);
const fragment = new URLSearchParams((await location((await location(second)).url)).url.hash.slice(1));
const completed = await call(creator, "POST", "/oauth/youtube/callback", {
  code: fragment.get("code"), state: fragment.get("state"),
});
const account = completed.body.accounts[0];

const sync = await call(creator, "POST", "/sync", { social_account_id: account.id });
const twice = await call(creator, "POST", "/sync", { social_account_id: account.id });
const foreignSync = await call(stranger, "POST", "/sync", { social_account_id: account.id });

let run;
const deadline = Date.now() + 90_000;
do {
  run = must(await creator.from("sync_run").select("*").eq("id", sync.body.run_id).single());
  if (Date.now() > deadline) throw new Error(`the sync does not end: ${JSON.stringify(run)}`);
  await new Promise((done) => setTimeout(done, 100));
} while (["queued", "running"].includes(run.status));

const items = must(
  await creator.from("content_item").select("id, title", { count: "exact" }).eq("social_account_id", account.id).limit(5),
);
const { count } = await creator.from("content_item").select("id", { count: "exact", head: true }).eq("social_account_id", account.id);
const theirs = must(await stranger.from("content_item").select("id").eq("social_account_id", account.id));
const theirRun = must(await stranger.from("sync_run").select("id").eq("id", sync.body.run_id));
const title = `Renamed by its creator ${stamp}`;
const edited = must(await creator.from("content_item").update({ title }).eq("id", items[0].id).select("title").single());
const stolen = must(await stranger.from("content_item").update({ title: "mine" }).eq("id", items[0].id).select("id"));
const revisions = must(await creator.from("content_revision").select("*").eq("content_item_id", items[0].id));
const found = must(await creator.rpc("search_content", { query: `renamed ${stamp}` }));
const quota = must(await creator.rpc("my_quota"));
const disconnected = await call(creator, "DELETE", `/connections/${completed.body.connection.id}`);

console.log(JSON.stringify({
  started: started.status,
  approved: approved.status,
  relayed: { status: relayed.status, origin: relayed.url.origin },
  foreign: foreign.status,
  burnt: burnt.status,
  completed: { status: completed.status, name: account.account_name },
  sync, twice, foreignSync: foreignSync.status,
  run, items, count, theirs, theirRun, edited, title, stolen, revisions, found, quota,
  disconnected: disconnected.status,
}));
