"""Mutants made by editing the text of one function: the mistakes that a change could really bring."""

from collections.abc import Iterator

from tests.database.mutants.catalog import Mutant
from tests.databases import Connection

# function -> (what a mistake would make of it: text, replacement)
EDITS: dict[str, tuple[tuple[str, str], ...]] = {
    "private.is_admin": (
        ("and (r.expires_at is null or r.expires_at > now())", ""),
        ("r.user_id = auth.uid()", "true"),
        ("and r.role = 'admin'", ""),
    ),
    "private.my_account_ids": (("a.user_id = auth.uid()", "true"),),
    "private.my_quota": (("s.user_id = auth.uid()", "true"),),
    "private.tier_maximum": (("t.max_ai_analyses_per_month", "t.max_syncs_per_month"),),
    "private.consume_quota": (
        ("and s.cycle_end_date > now()", ""),
        ("not between 1 and 10000", "not between 0 and 10000"),
        ("if v_answer is not null then", "if false then"),
        ("amount > t.max_ai_analyses_per_month", "amount > t.max_syncs_per_month"),
        ("amount > t.max_seo_submissions_per_month", "amount > t.max_syncs_per_month"),
        ("s.seo_submissions_used, t.max_seo_submissions_per_month", "s.seo_submissions_used, t.max_syncs_per_month"),
        ("perform private.move_counter(user_id, quota_type, -amount);", ""),
        ("v_is_rolled or coalesce(v_used::bigint + amount <= v_max, true)", "v_is_rolled"),
        ("        if v_used >= v_max then", "        if false then"),
        ("v_max - v_used <= v_max / 5", "v_used >= v_max"),
    ),
    "private.replay_charge": (
        ("and h.released_at is null", ""),
        ("h.user_id = replay_charge.user_id and", ""),
        ("raise exception 'idempotency key was used for another charge' using errcode = 'PT409';", "return null;"),
    ),
    "private.settle_quota": (
        ("and h.released_at is null\n        and h.settled_at is null", "and h.settled_at is null"),
    ),
    "private.release_charge": (
        ("and h.settled_at is null", ""),
        ("v_charge.billing_cycle_start);", "null);"),
    ),
    "private.reap_quota": (("and h.created_at < now() - older_than", ""),),
    "private.reset_quota": (("v_subscription.cycle_start_date = reset_quota.cycle_start", "false"),),
    "private.start_cycle": (("ai_analyses_used = 0,", ""), ("and c.used > 0", "and c.used > 5")),
    "private.roll_cycle": (("or v_subscription.cycle_end_date > now()", ""),),
    "private.notify_quota": (("continue when not found;", ""), ("array[80, 100]", "array[90, 100]")),
    "private.derive_content_item": (
        ("where a.id = new.social_account_id for share", "where a.id = new.social_account_id"),
        ("and new.deleted_at is null", ""),
        ("and new.upstream_deleted_at is null", ""),
        ("coalesce(v_account_public, false)", "true"),
    ),
    "private.set_account_public": (
        ("and new.visibility = 'public'", ""),
        ("coalesce(v_profile_public, false)", "true"),
    ),
    "private.on_account_public_changed": (("where i.social_account_id = new.id", "where i.id = new.id"),),
    "private.drop_connection_secret": (("perform private.vault_drop(old.vault_secret_name);", ""),),
    "private.sweep_secrets": (
        ("and s.created_at < now() - private.setting_interval('vault.orphan_age')", ""),
        ("s.name ~ '^(platform_connection|seo_connection|revocation):'", "s.name is not null"),
    ),
    "private.own_content_row": (("new.user_id is distinct from v_owner", "false"),),
    "private.provision_user": (("'free'", "'premium'"), ("left(nullif", "(nullif"),),
    "private.stamp_granted_by": (("auth.uid() is not null", "new.granted_by is null"),),
    "private.public_profile": (("and s.is_profile_public", ""),),
    "private.verify_audit_log": (
        ("when v_entry.user_id is distinct from", "when false and v_entry.user_id is distinct from"),
        ("when v_entry.entity_id is distinct from", "when false and v_entry.entity_id is distinct from"),
        ("v_link.linked_at < v_first_at", "true"),
    ),
    "private.is_erased": (("a.entity_id in (link.pseudonym, link.subject)", "true"),),
    "private.erase_from_audit": (
        ("or l.subject = v_pseudonym", ""),
        ("or a.id = any(v_about)", ""),
        ("case when a.entity_id = old.id then v_pseudonym else a.entity_id end", "a.entity_id"),
    ),
    "private.clear_other_primary": (("and k.is_primary", ""),),
    "private.write_content_revision": (("v_source := 'bulk_edit';", "null;"),),
}  # fmt: skip


def body_mutants(session: Connection) -> Iterator[Mutant]:
    """Every edit; one whose text is no longer there is an error, so that the list cannot rot."""
    for function, edits in EDITS.items():
        row = session.execute("select pg_get_functiondef(%s::regproc) as text", [function]).fetchone()
        assert row is not None
        for old, new in edits:
            if old not in row["text"]:
                raise LookupError(f"{function} no longer says {old!r}: update tests/database/mutants/bodies.py")
            short = " ".join(old.split())
            yield Mutant("edit a body", f"{function}: {short} -> {new or 'nothing'}", row["text"].replace(old, new))
