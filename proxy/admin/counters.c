/* SPDX-License-Identifier: MIT */
#include "proxy/admin/counters.h"

#include <stddef.h>

#define CLIENT(m, gauge, help)                                                \
	{                                                                     \
		GROUP_CLIENT, offsetof(struct gate_stats, m), #m, gauge, help \
	}
#define WORKER(m, gauge, help)                                                  \
	{                                                                       \
		GROUP_WORKER, offsetof(struct worker_stats, m), #m, gauge, help \
	}
#define CACHE(m, gauge, help)                                                 \
	{                                                                     \
		GROUP_CACHE, offsetof(struct cache_stats, m), #m, gauge, help \
	}
#define INVALIDATION(m, gauge, help)                                                        \
	{                                                                                   \
		GROUP_INVALIDATION, offsetof(struct invalidation_stats, m), #m, gauge, help \
	}

#define DISK(m, gauge, help)                                                \
	{                                                                   \
		GROUP_DISK, offsetof(struct disk_stats, m), #m, gauge, help \
	}

const struct counter counters[] = {
	CLIENT(accepted, false, "Client connections accepted"),
	CLIENT(open, true, "Client connections open now"),
	CLIENT(refused_total_bound, false, "Client connections refused because max_connections was reached"),
	CLIENT(refused_address_bound, false,
		"Client connections refused because max_connections_per_address was reached"),
	CLIENT(accept_pauses, false, "Times that accepting paused for want of descriptors or memory"),
	CLIENT(proxy_refused, false, "Connections closed because of the PROXY protocol: malformed, or not trusted"),
	CLIENT(tls_handshakes, false, "TLS handshakes done"),
	CLIENT(tls_failures, false, "TLS handshakes and connections that failed"),
	CLIENT(bad_requests, false, "Requests refused as malformed or too large"),
	CLIENT(header_timeouts, false, "Connections closed because a request head took too long"),
	CLIENT(body_timeouts, false, "Connections closed because a request body stalled"),
	CLIENT(slow_bodies, false, "Connections closed because a request body stayed below client_body_rate"),
	CLIENT(body_bytes, true, "Memory that request bodies take"),
	CLIENT(bodies_waiting, true, "Request bodies that wait for memory, now"),
	CLIENT(bodies_waited, false, "Times that a request body waited because body_memory was reached"),
	CLIENT(bodies_refused, false, "Requests refused because there was no memory for their body in time"),
	CLIENT(idle_timeouts, false, "Connections closed because they were idle"),
	CLIENT(write_timeouts, false, "Connections closed because the client took no bytes"),
	CLIENT(answered_here, false, "Hits answered right where requests are parsed"),
	CLIENT(bytes_in, false, "Bytes received from clients"),
	CLIENT(bytes_out, false, "Bytes sent to clients"),
	WORKER(requests, false, "Requests"),
	WORKER(aborted, false, "Answers cut short because the upstream broke off"),
	WORKER(clients_gone, false, "Clients that left before their answer was complete"),
	WORKER(ambiguous_paths, false,
		"Requests passed uncached because their path may be read as one of another route"),
	WORKER(underscore_fields, false, "Request fields dropped because of an underscore or the like in their names"),
	WORKER(loops, false, "Requests that came back to the process that had sent them on"),
	WORKER(background_fetches, false, "Fetches for stale answers, in the background"),
	WORKER(fills, false, "Fetches started"),
	WORKER(fills_active, true, "Fetches running now"),
	WORKER(invalidated_by_writes, false, "Invalidations caused by unsafe requests"),
	WORKER(body_bytes_out, false, "Body bytes sent to clients"),
	CACHE(entries, true, "Keys in memory"),
	CACHE(objects, true, "Stored answers in memory"),
	CACHE(bytes, true, "Bytes that the memory tier takes, bookkeeping included"),
	CACHE(memory_bytes, true, "Bound on these bytes"),
	CACHE(evicted_lru, false, "Answers evicted for want of memory"),
	CACHE(evicted_expired, false, "Expired answers removed"),
	CACHE(evicted_idle, false, "Answers that nobody asked for, left to the disk tier"),
	CACHE(evicted_purged, false, "Purged answers removed"),
	CACHE(evicted_replaced, false, "Answers replaced by newer ones"),
	CACHE(refused_too_large, false, "Answers not stored because they are larger than max_object"),
	CACHE(refused_memory, false, "Answers not stored for want of memory"),
	CACHE(flights, true, "Fetches that others may join, now"),
	CACHE(waiters, true, "Requests that wait on such a fetch, now"),
	CACHE(flights_refused, false, "Requests refused because too many fetches ran"),
	CACHE(waiters_refused, false, "Requests refused because max_waiters was reached"),
	CACHE(markers, true, "Keys remembered as uncacheable or failed"),
	CACHE(markers_evicted, false, "Such marks dropped because there were too many"),
	CACHE(stored, false, "Answers stored"),
	CACHE(encodings_waiting, true, "Stored answers that wait to be compressed"),
	CACHE(encodings_made, false, "Stored answers compressed in the background"),
	CACHE(encodings_dropped, false, "Stored answers not compressed because too many waited"),
	CACHE(large_readers, true, "Replies under way whose body is read from disk block by block"),
	CACHE(large_read_bytes, true, "Bytes of the blocks that such replies hold"),
	CACHE(revalidated, false, "Stored answers that the upstream confirmed"),
	CACHE(collapsed, false, "Requests that joined another's fetch"),
	CACHE(released, false, "Waiters released because the answer was not to be shared"),
	CACHE(failures_remembered, false, "Failed fetches remembered"),
	CACHE(leader_timeouts, false, "Fetches that were silent for longer than coalesce_timeout"),
	CACHE(purges, false, "Invalidations"),
	INVALIDATION(seq, true, "Sequence number of the newest invalidation"),
	INVALIDATION(floor_seq, true, "Everything older than this is invalid"),
	INVALIDATION(rules, true, "Invalidation rules kept"),
	INVALIDATION(floor_raised, false, "Times the rule table was full and the floor was raised"),
	DISK(objects, true, "Stored answers on disk"),
	DISK(bytes, true, "Bytes that the disk tier's files take"),
	DISK(size, true, "Bound on these bytes"),
	DISK(segments, true, "Files of stored answers"),
	DISK(index_bytes, true, "Memory that the disk tier's index takes"),
	DISK(hits, false, "Lookups that found an answer on disk"),
	DISK(misses, false, "Lookups that found none that could be used"),
	DISK(absent, false, "Lookups of keys that are not on disk, without any input or output"),
	DISK(inline_reads, false, "Answers read at once from the page cache"),
	DISK(thread_reads, false, "Answers read by a thread"),
	DISK(read_errors, false, "Reads that failed"),
	DISK(reads_refused, false, "Reads refused because too many waited"),
	DISK(bad_records, false, "Records that proved damaged"),
	DISK(purged_reads, false, "Records found to be purged"),
	DISK(puts, false, "Answers to be written"),
	DISK(put_bytes, false, "Bytes of these"),
	DISK(written_bytes, false, "Bytes written"),
	DISK(reinserted, false, "Answers written again because they were asked for"),
	DISK(reinserted_bytes, false, "Bytes of these"),
	DISK(heads_written, false, "Heads written without their bodies, after a 304"),
	DISK(dropped_queue, false, "Answers not written because too many waited"),
	DISK(dropped_error, false, "Answers not written because of errors"),
	DISK(dropped_size, false, "Answers not written because of their size"),
	DISK(dropped_admit, false, "Answers not written because they were seen once only"),
	DISK(dropped_outdated, false, "Answers not written because newer ones had come"),
	DISK(dropped_slow, false, "Large answers not written because the disk held their transfer up"),
	DISK(write_errors, false, "Writes that failed"),
	DISK(queue, true, "Answers that wait to be written"),
	DISK(queue_bytes, true, "Bytes of these"),
	DISK(reclaimed_segments, false, "Files removed to make room"),
	DISK(spared_segments, false, "Segments of one large answer that were kept because it is asked for"),
	DISK(unlink_errors, false, "Files that could not be removed"),
	DISK(forgets, false, "Keys forgotten"),
	DISK(journal_syncs, false, "Times the journal of purges was synced"),
	DISK(journal_errors, false, "Times that failed"),
	DISK(checkpoints, false, "Checkpoints of purges written"),
	DISK(checkpoint_errors, false, "Checkpoints that could not be written"),
	DISK(recovered_objects, true, "Stored answers found at the start"),
	DISK(recovered_segments, true, "Files read at the start so far"),
	DISK(recovery_segments, true, "Files to be read at the start"),
	DISK(recovery_ms, true, "Time that took"),
	DISK(foreign_files, true, "Files found at the start that were not ours"),
	DISK(started_empty, true, "Whether what was there could not be trusted"),
};

const unsigned counters_n = ARRAY_LEN(counters);

#define UPSTREAM(m, gauge, help)                                            \
	{                                                                   \
		GROUPS, offsetof(struct upstream_stats, m), #m, gauge, help \
	}
const struct counter upstream_counters[] = {
	UPSTREAM(started, false, "Requests sent to the upstream"),
	UPSTREAM(ok, false, "Whole answers"),
	UPSTREAM(refused, false, "No connection"),
	UPSTREAM(timeouts, false, "Time-outs"),
	UPSTREAM(broken, false, "Answers that broke off"),
	UPSTREAM(bad_answers, false, "Answers that are not valid HTTP"),
	UPSTREAM(busy, false, "Requests refused because max_connections and queue were full"),
	UPSTREAM(cancelled, false, "Requests given up because nobody wanted them any more"),
	UPSTREAM(retries, false, "Second tries"),
	UPSTREAM(stale_connections, false, "Kept connections that were found unusable"),
	UPSTREAM(connections_opened, false, "Connections opened"),
	UPSTREAM(connections_reused, false, "Requests on a kept connection"),
	UPSTREAM(bytes_in, false, "Body bytes received"),
	UPSTREAM(withheld, false,
		"Requests that were not sent because the breaker was open, the budget was used up or DNS was silent"),
	UPSTREAM(breaker_opened, false, "Times the circuit breaker opened"),
	UPSTREAM(failovers, false, "Tries at another origin"),
	UPSTREAM(left_out, false, "Times an origin was left out after failures"),
	UPSTREAM(health_checks, false, "Health checks"),
	UPSTREAM(health_failures, false, "Health checks that failed"),
	UPSTREAM(rate_limited, false, "Answers that asked for a pause"),
	UPSTREAM(active, true, "Requests running now"),
	UPSTREAM(queued, true, "Requests that wait for a connection now"),
};
const unsigned upstream_counters_n = ARRAY_LEN(upstream_counters);

void counted_init(struct counted *c, const struct service *s, const struct collected *sum)
{
	c->sum = sum;
	cache_stats(s->cache, &c->cache);
	c->bases[GROUP_CLIENT] = &sum->gate;
	c->bases[GROUP_WORKER] = &sum->worker;
	c->bases[GROUP_CACHE] = &c->cache;
	c->bases[GROUP_INVALIDATION] = &c->cache.invalidation;
	c->bases[GROUP_DISK] = s->disk ? &c->disk : NULL;
	if (s->disk)
		disk_stats(s->disk, &c->disk);
}

static uint64_t at(const void *base, size_t offset)
{
	return *(const uint64_t *)(const void *)((const char *)base + offset);
}

uint64_t counter_value(const struct counter *k, const struct counted *c)
{
	return at(c->bases[k->group], k->offset);
}

uint64_t upstream_counter_value(const struct counter *k, const struct upstream_stats *u)
{
	return at(u, k->offset);
}
