#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The migrations on a real Postgres: all of them on an empty database, then again, and the seed twice. Run through
# test/services.sh. (An integration test compares what they make with the schema.)
set -euo pipefail

database=migrations_$$
psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 "$DATABASE_URL" --command "create database $database"
export DATABASE_URL=${DATABASE_URL%/*}/$database
trap 'psql --quiet --no-psqlrc "${DATABASE_URL%/*}/postgres" --command "drop database $database with (force)"' EXIT

prisma migrate deploy
prisma migrate deploy | tee /dev/stderr | grep --quiet 'No pending migrations'
prisma migrate status
npm run --silent seed
npm run --silent seed
