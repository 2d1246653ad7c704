// Everything of Auth that an app uses, through an unmodified supabase-js; prints what came back as JSON.
import { client, must } from "./client.mjs";

const { SUPABASE_SECRET_KEY } = process.env;
const stamp = Date.now();
const password = "correct horse battery";
const failure = ({ error }) => ({ status: error?.status, code: error?.code, name: error?.name });

const admin = client(SUPABASE_SECRET_KEY).auth.admin;
const made = must(await admin.createUser({ email: `made-${stamp}@example.com`, password, email_confirm: true })).user;
must(await admin.createUser({ email: `other-${stamp}@example.com`, password, email_confirm: true }));
const listed = must(await admin.listUsers({ page: 1, perPage: 1 }));
const found = must(await admin.getUserById(made.id)).user;
const changed = must(await admin.updateUserById(made.id, { app_metadata: { plan: "x" }, user_metadata: { nick: "M" } })).user;

const first = client().auth;
const events = [];
first.onAuthStateChange((event) => events.push(event));
const signedIn = must(await first.signInWithPassword({ email: made.email, password }));
const second = client().auth;
must(await second.signInWithPassword({ email: made.email, password }));
const refreshed = must(await first.refreshSession());
const asked = must(await first.getUser()).user;
const updated = must(await first.updateUser({ data: { theme: "dark" } })).user;
must(await first.signOut({ scope: "others" }));
const others = failure(await second.refreshSession());
const mine = must(await first.refreshSession());
must(await admin.signOut(mine.session.access_token, "global"));
const ended = failure(await client().auth.getUser(mine.session.access_token));

const guest = client().auth;
const anonymous = must(await guest.signInAnonymously()).user;
const kept = must(await guest.updateUser({ email: `guest-${stamp}@example.com`, password })).user;
const back = must(await client().auth.signInWithPassword({ email: `guest-${stamp}@example.com`, password })).user;

const weak = failure(await client().auth.signUp({ email: `weak-${stamp}@example.com`, password: "short" }));
const notAdmin = failure(await client().auth.admin.listUsers());
must(await admin.deleteUser(made.id));
const gone = failure(await admin.getUserById(made.id));

console.log(JSON.stringify({
  listed: { length: listed.users.length, total: listed.total, nextPage: listed.nextPage, lastPage: listed.lastPage },
  found: found.email === made.email,
  changed: { app: changed.app_metadata, user: changed.user_metadata },
  sessions: new Set([signedIn, refreshed].map(({ session }) => session.refresh_token)).size,
  expires_at: signedIn.session.expires_at - Date.now() / 1000,
  asked: asked.id === made.id,
  updated: updated.user_metadata,
  others, ended, weak, notAdmin, gone,
  guest: { anonymous: anonymous.is_anonymous, kept: kept.is_anonymous, same: back.id === anonymous.id },
  events: [...new Set(events)],
}));
process.exit();
