-- Additive: v1.0.0 goes on working, beside this release during the deploy and after a rollback.
ALTER TABLE "CharteredAccountant" ADD COLUMN "specialty" TEXT;

-- So far the practice area was the words before the colon of the headline, where v1.0.0 goes on showing it.
-- (No semicolon in a comment: with a driver adapter Prisma splits the script at each one.)
UPDATE "CharteredAccountant"
SET "specialty" = split_part("headline", ': ', 1)
WHERE position(': ' IN "headline") > 0;
