-- Those that whoever opens the store may have to see to: few, however many containers there are.
CREATE INDEX container_unsettled ON container (created) WHERE removing <> 0 OR owner IS NOT NULL;
