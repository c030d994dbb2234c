"""What Apache Kafka's own Java classes write for messages of known content: `reference_messages.json`, made by

    pip install jpype1 && python -m tests.runtime.kafka.protocol.reference_messages

with the Java runtime and the jars of the local broker. Requests and answers are described here as Java builds them.
"""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stream_scorer.operations.local_broker.distribution import install_parts

PATH = Path(__file__).with_suffix(".json")
MESSAGES = "org.apache.kafka.common.message."
RECORDS = b"\x00record batch\xff"


def _produce(java: Any) -> Any:
    data = java(MESSAGES + "ProduceRequestData")
    topics = java(MESSAGES + "ProduceRequestData$TopicProduceDataCollection", new=True)
    partition = java(MESSAGES + "ProduceRequestData$PartitionProduceData", new=True).setIndex(3)
    partition.setRecords(java.records(RECORDS))
    topic = java(MESSAGES + "ProduceRequestData$TopicProduceData", new=True).setName("topic")
    topics.add(topic.setPartitionData(java.list(partition)))
    return data().setTransactionalId("id").setAcks(-1).setTimeoutMs(1500).setTopicData(topics)


def _produced(java: Any) -> Any:
    partition = java(MESSAGES + "ProduceResponseData$PartitionProduceResponse", new=True).setIndex(3)
    partition.setErrorCode(6).setBaseOffset(7).setLogAppendTimeMs(-1).setLogStartOffset(2)
    fault = java(MESSAGES + "ProduceResponseData$BatchIndexAndErrorMessage", new=True)
    partition.setRecordErrors(java.list(fault.setBatchIndex(1).setBatchIndexErrorMessage("bad"))).setErrorMessage("no")
    topic = java(MESSAGES + "ProduceResponseData$TopicProduceResponse", new=True).setName("topic")
    topics = java(MESSAGES + "ProduceResponseData$TopicProduceResponseCollection", new=True)
    topics.add(topic.setPartitionResponses(java.list(partition)))
    return java(MESSAGES + "ProduceResponseData", new=True).setResponses(topics).setThrottleTimeMs(9)


def _offset_fetch(java: Any) -> Any:
    topic = java(MESSAGES + "OffsetFetchRequestData$OffsetFetchRequestTopic", new=True).setName("topic")
    topic.setPartitionIndexes(java.list(java.integer(0), java.integer(5)))
    data = java(MESSAGES + "OffsetFetchRequestData", new=True).setGroupId("group")
    return data.setTopics(java.list(topic)).setRequireStable(True)


def _offset_fetched(java: Any) -> Any:
    partition = java(MESSAGES + "OffsetFetchResponseData$OffsetFetchResponsePartition", new=True).setPartitionIndex(5)
    partition.setCommittedOffset(11).setCommittedLeaderEpoch(-1).setMetadata("").setErrorCode(88)
    topic = java(MESSAGES + "OffsetFetchResponseData$OffsetFetchResponseTopic", new=True).setName("topic")
    topic.setPartitions(java.list(partition))
    data = java(MESSAGES + "OffsetFetchResponseData", new=True).setThrottleTimeMs(9)
    return data.setTopics(java.list(topic)).setErrorCode(15)


def _api_versions(java: Any) -> Any:
    data = java(MESSAGES + "ApiVersionsRequestData", new=True)
    return data.setClientSoftwareName("stream-scorer").setClientSoftwareVersion("1")


def _api_versions_told(java: Any) -> Any:
    keys = java(MESSAGES + "ApiVersionsResponseData$ApiVersionCollection", new=True)
    keys.add(java(MESSAGES + "ApiVersionsResponseData$ApiVersion", new=True).setApiKey(26).setMaxVersion(5))
    supported = java(MESSAGES + "ApiVersionsResponseData$SupportedFeatureKeyCollection", new=True)
    feature = java(MESSAGES + "ApiVersionsResponseData$SupportedFeatureKey", new=True).setName("transaction.version")
    supported.add(feature.setMaxVersion(2))
    finalized = java(MESSAGES + "ApiVersionsResponseData$FinalizedFeatureKeyCollection", new=True)
    feature = java(MESSAGES + "ApiVersionsResponseData$FinalizedFeatureKey", new=True).setName("transaction.version")
    finalized.add(feature.setMaxVersionLevel(1).setMinVersionLevel(1))
    data = java(MESSAGES + "ApiVersionsResponseData", new=True).setApiKeys(keys).setThrottleTimeMs(9)
    return data.setSupportedFeatures(supported).setFinalizedFeaturesEpoch(3).setFinalizedFeatures(finalized)


def _end_txn(java: Any) -> Any:
    data = java(MESSAGES + "EndTxnRequestData", new=True).setTransactionalId("id").setProducerId(4_000_000_000)
    return data.setProducerEpoch(32_766).setCommitted(True)


def _txn_ended(java: Any) -> Any:
    data = java(MESSAGES + "EndTxnResponseData", new=True).setThrottleTimeMs(9).setErrorCode(51)
    return data.setProducerId(4_000_000_001).setProducerEpoch(0)


def _txn_offset_commit(java: Any) -> Any:
    partition = java(MESSAGES + "TxnOffsetCommitRequestData$TxnOffsetCommitRequestPartition", new=True)
    partition.setPartitionIndex(3).setCommittedOffset(12).setCommittedLeaderEpoch(-1).setCommittedMetadata("")
    topic = java(MESSAGES + "TxnOffsetCommitRequestData$TxnOffsetCommitRequestTopic", new=True).setName("topic")
    data = java(MESSAGES + "TxnOffsetCommitRequestData", new=True).setTransactionalId("id").setGroupId("group")
    data.setProducerId(5).setProducerEpoch(6).setGenerationIdOrMemberEpoch(7).setMemberId("member").setGroupInstanceId(
        None
    )
    return data.setTopics(java.list(topic.setPartitions(java.list(partition))))


def _txn_offset_committed(java: Any) -> Any:
    partition = java(MESSAGES + "TxnOffsetCommitResponseData$TxnOffsetCommitResponsePartition", new=True)
    topic = java(MESSAGES + "TxnOffsetCommitResponseData$TxnOffsetCommitResponseTopic", new=True).setName("topic")
    topic.setPartitions(java.list(partition.setPartitionIndex(3).setErrorCode(22)))
    return java(MESSAGES + "TxnOffsetCommitResponseData", new=True).setThrottleTimeMs(9).setTopics(java.list(topic))


def _describe_producers(java: Any) -> Any:
    topic = java(MESSAGES + "DescribeProducersRequestData$TopicRequest", new=True).setName("topic")
    topic.setPartitionIndexes(java.list(java.integer(3)))
    topics = java(MESSAGES + "DescribeProducersRequestData$TopicRequestCollection", new=True)
    topics.add(topic)
    return java(MESSAGES + "DescribeProducersRequestData", new=True).setTopics(topics)


def _producers_described(java: Any) -> Any:
    producer = java(MESSAGES + "DescribeProducersResponseData$ProducerState", new=True).setProducerId(5)
    producer.setProducerEpoch(6).setLastSequence(7).setLastTimestamp(8).setCoordinatorEpoch(9)
    partition = java(MESSAGES + "DescribeProducersResponseData$PartitionResponse", new=True).setPartitionIndex(3)
    partition.setActiveProducers(java.list(producer.setCurrentTxnStartOffset(10)))
    topic = java(MESSAGES + "DescribeProducersResponseData$TopicResponse", new=True).setName("topic")
    data = java(MESSAGES + "DescribeProducersResponseData", new=True).setThrottleTimeMs(9)
    return data.setTopics(java.list(topic.setPartitions(java.list(partition))))


def _describe_transactions(java: Any) -> Any:
    return java(MESSAGES + "DescribeTransactionsRequestData", new=True).setTransactionalIds(
        java.list(java.string("id"))
    )


def _transactions_described(java: Any) -> Any:
    topic = java(MESSAGES + "DescribeTransactionsResponseData$TopicData", new=True).setTopic("topic")
    topics = java(MESSAGES + "DescribeTransactionsResponseData$TopicDataCollection", new=True)
    topics.add(topic.setPartitions(java.list(java.integer(3))))
    state = java(MESSAGES + "DescribeTransactionsResponseData$TransactionState", new=True).setTransactionalId("id")
    state.setTransactionState("CompleteCommit").setTransactionTimeoutMs(20_000).setTransactionStartTimeMs(8)
    state.setProducerId(5).setProducerEpoch(6).setTopics(topics)
    data = java(MESSAGES + "DescribeTransactionsResponseData", new=True).setThrottleTimeMs(9)
    return data.setTransactionStates(java.list(state))


# By the name of the class in `messages.py`, with the version in Kafka's own definition
CASES: dict[str, tuple[Callable[[Any], Any], int]] = {
    "ProduceRequestV12": (_produce, 12),
    "ProduceResponseV12": (_produced, 12),
    "OffsetFetchRequestV7": (_offset_fetch, 7),
    "OffsetFetchResponseV7": (_offset_fetched, 7),
    "ApiVersionsRequestV3": (_api_versions, 3),
    "ApiVersionsResponseV3": (_api_versions_told, 3),
    "EndTxnRequestV5": (_end_txn, 5),
    "EndTxnResponseV5": (_txn_ended, 5),
    "TxnOffsetCommitRequestV3": (_txn_offset_commit, 3),
    "TxnOffsetCommitResponseV3": (_txn_offset_committed, 3),
    "TxnOffsetCommitRequestV5": (_txn_offset_commit, 5),
    "TxnOffsetCommitResponseV5": (_txn_offset_committed, 5),
    "DescribeProducersRequestV0": (_describe_producers, 0),
    "DescribeProducersResponseV0": (_producers_described, 0),
    "DescribeTransactionsRequestV0": (_describe_transactions, 0),
    "DescribeTransactionsResponseV0": (_transactions_described, 0),
}


class _Java:
    """Classes and values of a Java machine in this process."""

    def __init__(self) -> None:
        jpype: Any = importlib.import_module("jpype")  # no dependency: these bytes are made once

        parts = install_parts(lambda text: None)
        library = parts.java.parents[1] / "lib" / "server" / "libjvm.so"
        jpype.startJVM(str(library), classpath=parts.class_path.split(":"), convertStrings=False)
        self._jpype = jpype

    def __call__(self, name: str, new: bool = False) -> Any:
        made = self._jpype.JClass(name)
        return made() if new else made

    def list(self, *values: Any) -> Any:
        made = self._jpype.JClass("java.util.ArrayList")()
        for value in values:
            made.add(value)
        return made

    def integer(self, value: int) -> Any:
        return self._jpype.JClass("java.lang.Integer").valueOf(value)

    def string(self, value: str) -> Any:
        return self._jpype.JString(value)

    def records(self, content: bytes) -> Any:
        buffer = self._jpype.JClass("java.nio.ByteBuffer").wrap(self._jpype.JArray(self._jpype.JByte)(content))
        return self._jpype.JClass("org.apache.kafka.common.record.internal.MemoryRecords").readableRecords(buffer)

    def bytes_of(self, message: Any, version: int) -> bytes:
        accessor = self._jpype.JClass("org.apache.kafka.common.protocol.MessageUtil").toByteBufferAccessor(
            message, self._jpype.JShort(version)
        )
        return bytes(byte & 0xFF for byte in accessor.buffer().array())


def reference_messages() -> dict[str, str]:
    """What Java writes for each case, as hexadecimal digits."""
    java = _Java()
    return {name: java.bytes_of(build(java), version).hex() for name, (build, version) in CASES.items()}


if __name__ == "__main__":
    PATH.write_text(json.dumps(reference_messages(), indent=2) + "\n")
