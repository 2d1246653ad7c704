// What apps send every day, through an unmodified supabase-js, to the record shop of tests/local/data_api; prints JSON.
import { createClient } from "@supabase/supabase-js";

const { SHOP_URL, SHOP_KEY } = process.env;
const transport = globalThis.WebSocket ?? class {}; // see client.mjs
const options = { db: { schema: "shop" }, auth: { persistSession: false }, realtime: { transport } };
const shop = createClient(SHOP_URL, SHOP_KEY, options);
const albums = () => shop.from("albums");
const data = async (query) => {
  const { data, error, count, status } = await query;
  return { data, error: error && { code: error.code, message: error.message, details: error.details }, count, status };
};

const results = {
  filtered: await data(albums().select("id,title").in("artist_id", [1, 2]).gt("stock", 0).order("id")),
  embedded: await data(
    albums().select("id, artist:artists!albums_artist_id_fkey(name, label:labels(name)), tracks(title), tags(word)").eq("id", 1).single(),
  ),
  inner: await data(albums().select("id, tracks!inner(number)").eq("tracks.number", 2).order("id")),
  spread: await data(shop.from("notes").select("body, ...albums(title)").order("album_id")),
  tree: await data(albums().select("id").or("stock.eq.0,and(price.gt.11,mood.eq.calm)").order("id")),
  negated: await data(albums().select("id").not("mood", "is", null).neq("id", 2).order("id")),
  text: await data(albums().select("id").textSearch("search", "cool nights", { type: "websearch", config: "english" })),
  patterns: await data(albums().select("id").ilike("title", "%o%").likeAnyOf("title", ["Cool%", "Lou%"]).order("id")),
  ranges: await data(albums().select("id").rangeAdjacent("on_sale", "[10,20)")),
  contains: await data(shop.from("artists").select("id").contains("genres", ["jazz"])),
  overlaps: await data(shop.from("artists").select("id").overlaps("genres", ["rock", "jazz"]).order("id")),
  json: await data(albums().select("discs:details->discs").eq("details->press->>country", "no")),
  match: await data(albums().select("id").match({ artist_id: 1, mood: "calm" }).order("id")),
  page: await data(albums().select("id", { count: "exact" }).order("id", { ascending: false, nullsFirst: false }).range(1, 2)),
  head: await data(albums().select("*", { count: "exact", head: true })),
  related: await data(albums().select("id, artists!albums_artist_id_fkey(name)").order("artists(name)", { ascending: false }).limit(1)),
  none: await data(albums().select("id").eq("id", 99).maybeSingle()),
  several: await data(albums().select("id").single()),
  csv: await data(albums().select("id,title").eq("id", 1).csv()),
  created: await data(shop.from("labels").insert({ name: "From JS", address: { city: "Ålesund" } }).select("name, address").single()),
  bulk: await data(shop.from("labels").insert([{ name: "One" }, { name: "Two", address: {} }], { defaultToNull: false }).select("name")),
  silent: await data(shop.from("labels").insert({ name: "Silent" })),
  upserted: await data(shop.from("labels").upsert({ id: 1, name: "Blue Room" }, { onConflict: "id" }).select("id")),
  ignored: await data(shop.from("labels").upsert({ id: 1, name: "x" }, { ignoreDuplicates: true }).select("id")),
  updated: await data(albums().update({ stock: 9 }, { count: "exact" }).eq("id", 1).select("stock")),
  capped: await data(albums().update({ stock: 9 }).gt("stock", 0).maxAffected(1)),
  deleted: await data(shop.from("tracks").delete({ count: "exact" }).eq("album_id", 1)),
  conflict: await data(shop.from("labels").insert({ id: 1, name: "Twice" })),
  called: await data(shop.rpc("add_them", { a: 1, b: 2 })),
  asked: await data(shop.rpc("listing", { minimum: 1 }, { get: true }).select("title").order("title").limit(1)),
  counted: await data(shop.rpc("numbers", { n: 4 }, { head: true, count: "exact" })),
  missing: await data(shop.rpc("add_then", { a: 1 })),
  warehouse: await data(shop.schema("warehouse").from("boxes").select()),
  refused: await data(shop.from("gated").select()),
};
console.log(JSON.stringify(results));
