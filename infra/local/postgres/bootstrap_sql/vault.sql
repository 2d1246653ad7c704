-- A stand-in for the extension supabase_vault 0.3 (https://github.com/supabase/vault): the same relations, signatures,
-- owners, grants and errors. The cipher is different: neither pgcrypto nor libsodium is there, so secrets are XORed with
-- a SHA-256 key stream and carry a SHA-256 tag. That keeps plaintext out of the table, its dumps and its backups, which is
-- what tests look at; it is no protection against who can read vault.local_key.

create schema vault authorization supabase_admin;
grant usage on schema vault to postgres with grant option;
grant usage on schema vault to service_role;

set role supabase_admin;

create table vault.local_key (key bytea not null);
comment on table vault.local_key is 'Stands in for the root key that the extension keeps outside the database.';
alter table vault.local_key enable row level security;
insert into vault.local_key (key) values (uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));

create function vault._crypto_aead_det_noncegen() returns bytea language sql volatile set search_path = '' as $$
    select uuid_send(gen_random_uuid())
$$;

-- Encrypts and decrypts alike: eight bytes at a time, as many as the message has.
create function vault.local_xor(message bytea, key bytea) returns bytea language sql immutable strict set search_path = '' as $$
    with block as (
        select
            i,
            rpad(encode(substr(message, 1 + 8 * i, 8), 'hex'), 16, '0') as plain,
            encode(substr(sha256(key || int4send(i)), 1, 8), 'hex') as mask
        from generate_series(0, (length(message) - 1) / 8) as i
    )
    select
        coalesce(
            substr(
                decode(
                    string_agg(
                        lpad(to_hex((('x' || plain)::bit(64)::bigint) # (('x' || mask)::bit(64)::bigint)), 16, '0'), '' order by i
                    ),
                    'hex'
                ),
                1, length(message)
            ),
            ''
        )
    from block
    where length(message) > 0
$$;

create function vault._crypto_aead_det_encrypt(
    message bytea, additional bytea, key_id bigint, context bytea default 'pgsodium', nonce bytea default null
) returns bytea language sql stable security definer set search_path = '' as $$
    with derived as (
        select sha256(k.key || coalesce(nonce, '') || context || int8send(key_id) || additional) as key from vault.local_key as k
    ), sealed as (
        select d.key, vault.local_xor(message, d.key) as body from derived as d
    )
    select s.body || sha256(s.key || s.body) from sealed as s
$$;

create function vault._crypto_aead_det_decrypt(
    message bytea, additional bytea, key_id bigint, context bytea default 'pgsodium', nonce bytea default null
) returns bytea language plpgsql stable security definer set search_path = '' as $$
declare
    v_key bytea := (
        select sha256(k.key || coalesce(nonce, '') || context || int8send(key_id) || additional) from vault.local_key as k
    );
    v_body bytea := substr(message, 1, greatest(length(message) - 32, 0));
begin
    if substr(message, greatest(length(message) - 31, 1)) is distinct from sha256(v_key || v_body) then
        raise exception 'pgsodium_crypto_aead_det_decrypt_by_id: invalid ciphertext' using errcode = '22000';
    end if;
    return vault.local_xor(v_body, v_key);
end
$$;

create table vault.secrets (
    id uuid not null default gen_random_uuid() primary key,
    name text,
    description text not null default '',
    secret text not null,
    key_id uuid,
    nonce bytea default vault._crypto_aead_det_noncegen(),
    created_at timestamptz not null default current_timestamp,
    updated_at timestamptz not null default current_timestamp
);
create unique index secrets_name_idx on vault.secrets (name) where name is not null;
comment on table vault.secrets is 'Table with encrypted `secret` column for storing sensitive information on disk.';

create view vault.decrypted_secrets as
select
    s.id,
    s.name,
    s.description,
    s.secret,
    convert_from(
        vault._crypto_aead_det_decrypt(
            message => decode(s.secret, 'base64'), additional => convert_to(s.id::text, 'utf8'),
            key_id => 0, context => 'pgsodium'::bytea, nonce => s.nonce
        ), 'utf8'
    ) as decrypted_secret,
    s.key_id,
    s.nonce,
    s.created_at,
    s.updated_at
from vault.secrets as s;

create function vault.create_secret(
    new_secret text, new_name text default null, new_description text default '', new_key_id uuid default null
) returns uuid language plpgsql security definer set search_path = '' as $$
declare
    v_id uuid := gen_random_uuid();
    v_nonce bytea := vault._crypto_aead_det_noncegen();
begin
    insert into vault.secrets (id, secret, name, description, nonce)
    values (
        v_id,
        encode(
            vault._crypto_aead_det_encrypt(
                message => convert_to(new_secret, 'utf8'), additional => convert_to(v_id::text, 'utf8'),
                key_id => 0, context => 'pgsodium'::bytea, nonce => v_nonce
            ), 'base64'
        ),
        new_name, new_description, v_nonce
    );
    return v_id;
end
$$;

-- An unknown id is no error, and a null argument leaves its column as it is, both as in the extension.
create function vault.update_secret(
    secret_id uuid, new_secret text default null, new_name text default null, new_description text default null,
    new_key_id uuid default null
) returns void language plpgsql security definer set search_path = '' as $$
begin
    update vault.secrets as s
    set
        secret = case
            when new_secret is null then s.secret
            else encode(
                vault._crypto_aead_det_encrypt(
                    message => convert_to(new_secret, 'utf8'), additional => convert_to(s.id::text, 'utf8'),
                    key_id => 0, context => 'pgsodium'::bytea, nonce => s.nonce
                ), 'base64'
            )
        end,
        name = coalesce(new_name, s.name),
        description = coalesce(new_description, s.description),
        updated_at = current_timestamp
    where s.id = secret_id;
end
$$;

revoke execute on all functions in schema vault from public;
grant execute on function vault.create_secret(text, text, text, uuid) to postgres with grant option;
grant execute on function vault.update_secret(uuid, text, text, text, uuid) to postgres with grant option;
grant execute on function vault._crypto_aead_det_decrypt(bytea, bytea, bigint, bytea, bytea) to postgres with grant option;
grant select, delete, references, truncate on vault.secrets, vault.decrypted_secrets to postgres with grant option;

grant execute on function vault.create_secret(text, text, text, uuid) to service_role;
grant execute on function vault.update_secret(uuid, text, text, text, uuid) to service_role;
grant execute on function vault._crypto_aead_det_decrypt(bytea, bytea, bigint, bytea, bytea) to service_role;
grant select, delete on vault.secrets, vault.decrypted_secrets to service_role;

reset role;
