// One creator and one stranger, through an unmodified supabase-js; prints what each of them saw as JSON.
import { client, must } from "./client.mjs";

const stamp = Date.now();
const password = "correct horse battery";
const credentials = { email: `creator-${stamp}@example.com`, password };

const creator = client();
const { user } = must(await creator.auth.signUp({ ...credentials, options: { data: { full_name: "Maya" } } }));
must(await creator.auth.signInWithPassword(credentials));
const { claims } = must(await creator.auth.getClaims());

const stranger = client();
must(await stranger.auth.signUp({ email: `stranger-${stamp}@example.com`, password }));

const own = must(await creator.from("users").select("id, full_name, user_setting (user_id)").eq("id", user.id).single());
const theirs = must(await stranger.from("users").select("id").eq("id", user.id));
const anonymous = await client().from("users").select("id");
const tiers = must(await client().from("subscription_tier").select("slug").order("price_cents"));
const quota = must(await creator.rpc("my_quota"));
const renamed = must(
  await creator.from("users").update({ full_name: "Maya K." }).eq("id", user.id).select("full_name").single(),
);
const stolen = must(await stranger.from("users").update({ full_name: "Mallory" }).eq("id", user.id).select("id"));
const refused = await creator.from("users").update({ email: "other@example.com" }).eq("id", user.id);
const twice = await client().auth.signUp(credentials);
const wrong = await client().auth.signInWithPassword({ ...credentials, password: "wrong password" });
const refreshed = must(await creator.auth.refreshSession());
must(await creator.auth.signOut());
const late = await client().auth.refreshSession({ refresh_token: refreshed.session.refresh_token });

console.log(JSON.stringify({
  user: user.id,
  claims,
  own,
  theirs,
  anonymous: { status: anonymous.status, code: anonymous.error?.code },
  tiers: tiers.map((tier) => tier.slug),
  quota,
  renamed,
  stolen,
  refused: { status: refused.status, code: refused.error?.code },
  twice: { status: twice.error?.status, code: twice.error?.code },
  wrong: { status: wrong.error?.status, code: wrong.error?.code },
  late: { status: late.error?.status, code: late.error?.code },
}));
