#!lua flags=allow-oom
-- Removes all of a partition but its gaps.
-- ARGV[2]  partition
-- Answers OK 1, or OK 0 if there was nothing
part_of(ARGV[2])
tick()
return { 'OK', remove_part(ARGV[2]) }
