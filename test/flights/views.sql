-- Delays by carrier and month.
CREATE MATERIALIZED VIEW carrier_delays AS
    SELECT a.name, f.month, count(*) AS flights, count(f.dep_delay) AS departed, avg(f.dep_delay) AS average_delay,
           sum(f.arr_delay) AS total_arrival_delay, max(f.dep_delay) AS worst_delay
    FROM flights f JOIN airlines a ON f.carrier = a.carrier
    GROUP BY a.name, f.month;

-- For each hour the origin with the greatest mean delay, with its weather.
CREATE VIEW hourly_delays AS
    SELECT origin, time_hour, sum(dep_delay) AS total_delay, count(*) AS flights
    FROM flights WHERE dep_delay IS NOT NULL GROUP BY origin, time_hour;
CREATE VIEW worst_hour AS
    SELECT time_hour, max(total_delay) AS total_delay FROM hourly_delays GROUP BY time_hour;
CREATE MATERIALIZED VIEW worst_origins AS
    SELECT h.time_hour, h.origin, h.total_delay, h.flights, w.temp, w.wind_speed, w.visib
    FROM hourly_delays h
    JOIN worst_hour worst ON worst.time_hour = h.time_hour AND worst.total_delay = h.total_delay
    LEFT JOIN weather w ON w.origin = h.origin AND w.time_hour = h.time_hour;

-- The ten busiest routes.
CREATE MATERIALIZED VIEW top_routes AS
    SELECT origin, dest, count(*) AS flights, sum(distance) AS miles
    FROM flights GROUP BY origin, dest ORDER BY count(*) DESC, origin, dest LIMIT 10;
