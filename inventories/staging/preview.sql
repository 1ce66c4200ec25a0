-- Removes from the copy for previews what is about people. It runs in one transaction; when it fails there is no copy.
-- A new table with such data needs its line here, or in app_preview.without.
update "User" set email = id || '@example.com', name = 'Person ' || left(id::text, 8), "passwordHash" = null where role <> 'ACCOUNTANT';
update "User" set email = id || '@example.com', "passwordHash" = null where role = 'ACCOUNTANT';
update "ServiceRequest" set note = '', "idempotencyKey" = null, "requestHash" = null;
update "Payment" set reference = null;
update "Review" set text = 'Lorem ipsum.';
