-- The application's own login, for psql as an administrator of the server; again changes nothing but the
-- password. It is a member of citybill_app and of nothing else: docs/ledger.md, who may do what.
\getenv password POSTGRES_WEB_PASSWORD
SELECT 'CREATE ROLE citybill_app NOLOGIN'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'citybill_app') \gexec
SELECT 'CREATE ROLE citybill_web LOGIN'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'citybill_web') \gexec
ALTER ROLE citybill_web PASSWORD :'password';
GRANT citybill_app TO citybill_web;
