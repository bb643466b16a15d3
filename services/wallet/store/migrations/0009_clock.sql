-- Whether a moment that was waited for has come. Nothing waits for longer than two minutes: a moment
-- further ahead was set by a clock that has been set back since, and is not waited for.
CREATE FUNCTION wallet.is_due(moment timestamptz) RETURNS boolean
LANGUAGE sql STABLE
RETURN moment <= now() OR moment > now() + interval '2 minutes';
