-- Additive: v1.0.0 goes on working, beside this release during the deploy and after a rollback.
ALTER TABLE "CharteredAccountant" ADD COLUMN "specialty" TEXT;

-- So far the practice area was the words before the colon of the headline; v1.0.0 still shows it there.
UPDATE "CharteredAccountant"
SET "specialty" = split_part("headline", ': ', 1)
WHERE position(': ' IN "headline") > 0;
