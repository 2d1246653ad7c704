// A supabase-js client as the example apps make it, for the project that the environment names.
import { createClient } from "@supabase/supabase-js";

const { SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY } = process.env;

// Realtime is not used; Node before 22 has no WebSocket and supabase-js insists on some constructor.
const transport = globalThis.WebSocket ?? class {};

export function client(key = SUPABASE_PUBLISHABLE_KEY) {
  const auth = { persistSession: false, autoRefreshToken: false };
  return createClient(SUPABASE_URL, key, { auth, realtime: { transport } });
}

// The data of an answer, or an exception with what the server said.
export function must({ data, error }) {
  if (error) throw new Error(`${error.code}: ${error.message}`);
  return data;
}
