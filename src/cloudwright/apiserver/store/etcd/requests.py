"""Requests to etcd for what the store is asked, and what the answers mean. Pure."""

from __future__ import annotations

from cloudwright.apiserver.store.etcd.pb import etcd_pb2 as pb
from cloudwright.apiserver.store.etcd.values import pack
from cloudwright.apiserver.store.interface import Compare, Outcome, Record, Txn
from cloudwright.apiserver.store.statements import end_of


def page(root: str, prefix: str, after: str, limit: int, revision: int) -> pb.RangeRequest:
    """Keys that start with ``prefix`` and are greater than ``after``, in order."""
    start = root + after + "\0" if after else root + prefix
    return pb.RangeRequest(
        key=start.encode(),
        range_end=(root + end_of(prefix)).encode(),
        limit=limit,
        revision=revision,
    )


def transaction(root: str, txn: Txn) -> pb.TxnRequest:
    """If every compare holds: the write, and what it made of the key; else what the keys are."""
    key = (root + txn.write.key).encode()
    compares = [_compare(root, compare) for compare in txn.compares]
    now = pb.RequestOp(request_range=pb.RangeRequest(key=key, keys_only=True))
    if txn.write.delete:
        compares.append(
            pb.Compare(key=key, target=pb.Compare.VERSION, result=pb.Compare.GREATER, version=0)
        )
        delete = pb.DeleteRangeRequest(key=key)
        success = [now, pb.RequestOp(request_delete_range=delete)]
    else:
        put = pb.PutRequest(key=key, value=pack(txn.write.template))
        success = [pb.RequestOp(request_put=put), now]
    failure = [
        pb.RequestOp(
            request_range=pb.RangeRequest(key=(root + compare.key).encode(), keys_only=True)
        )
        for compare in txn.compares
    ]
    return pb.TxnRequest(compare=compares, success=success, failure=failure)


def outcome(txn: Txn, response: pb.TxnResponse) -> Outcome:
    """What became of a transaction."""
    write = txn.write
    if response.succeeded:
        ranges = [
            one.response_range for one in response.responses if one.HasField("response_range")
        ]
        created = ranges[0].kvs[0].create_revision
        revision = response.header.revision
        return Outcome(Record(write.key, revision, created, write.template.stamp(revision)))
    for compare, one in zip(txn.compares, response.responses, strict=True):
        kvs = one.response_range.kvs
        if (kvs[0].mod_revision if kvs else 0) != compare.revision:
            return Outcome(None, compare)
    return Outcome(None, Compare(write.key, -1))


def _compare(root: str, compare: Compare) -> pb.Compare:
    # A key that does not exist has mod_revision 0.
    return pb.Compare(
        key=(root + compare.key).encode(),
        target=pb.Compare.MOD,
        result=pb.Compare.EQUAL,
        mod_revision=compare.revision,
    )
