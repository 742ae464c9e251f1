#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <tuple>

#include "bench/tpch/schema.h"
#include "bench/tpch/words.h"

/// The tables as data: one struct a row, its fields and their names in the order of the columns. Generator,
/// `.tbl` reader and writer, and the columns are all written once over `fields`.
namespace weld::bench::tpch {

/// A whole number, stored in a column as `T`.
template <typename T>
struct Whole {
  using Stored = T;
  static constexpr ColumnKind kKind = ColumnKind::kWhole;
  std::int64_t value;
};

/// A number of hundredths (money in cents), printed with two decimals.
template <typename T>
struct Hundredths {
  using Stored = T;
  static constexpr ColumnKind kKind = ColumnKind::kHundredths;
  std::int64_t value;
};

/// Days since 1970-01-01.
struct Date {
  using Stored = std::int32_t;
  static constexpr ColumnKind kKind = ColumnKind::kDate;
  std::int32_t value;
};

/// A word by its code.
template <WordListId kWords>
struct Word {
  using Stored = std::uint8_t;
  static constexpr ColumnKind kKind = ColumnKind::kWord;
  static constexpr WordListId kList = kWords;
  std::uint8_t value;
};

/// Text of at most `kMax` bytes when it is generated; a file may hold longer ones. Borrowed.
template <int kMax>
struct Text {
  using Stored = char;
  static constexpr ColumnKind kKind = ColumnKind::kText;
  static constexpr int kMaxBytes = kMax;
  std::string_view value;
};

using Key = Whole<std::int32_t>;
using SmallKey = Whole<std::int8_t>;  // of nations and regions
using Money = Hundredths<std::int32_t>;
using Rate = Hundredths<std::int8_t>;

inline constexpr int kNameBytes = 20;  // Customer#000000001
inline constexpr int kAddressBytes = 40;
inline constexpr int kPhoneBytes = 15;

struct CustomerRow {
  Key custkey;
  Text<kNameBytes> name;
  Text<kAddressBytes> address;
  SmallKey nationkey;
  Text<kPhoneBytes> phone;
  Money acctbal;
  Word<WordListId::kSegments> mktsegment;
  Text<116> comment;

  static constexpr TableId kTable = TableId::kCustomer;
  static constexpr std::array<std::string_view, 8> kColumns = {
      "c_custkey", "c_name", "c_address", "c_nationkey", "c_phone", "c_acctbal", "c_mktsegment", "c_comment"};
  static auto fields(auto& row) {
    return std::tie(row.custkey, row.name, row.address, row.nationkey, row.phone, row.acctbal, row.mktsegment,
                    row.comment);
  }
};

struct LineitemRow {
  Key orderkey;
  Key partkey;
  Key suppkey;
  Whole<std::int8_t> linenumber;
  Whole<std::int8_t> quantity;
  Money extendedprice;
  Rate discount;
  Rate tax;
  Word<WordListId::kReturnFlags> returnflag;
  Word<WordListId::kLineStatuses> linestatus;
  Date shipdate;
  Date commitdate;
  Date receiptdate;
  Word<WordListId::kInstructions> shipinstruct;
  Word<WordListId::kModes> shipmode;
  Text<43> comment;

  static constexpr TableId kTable = TableId::kLineitem;
  static constexpr std::array<std::string_view, 16> kColumns = {
      "l_orderkey",    "l_partkey",      "l_suppkey",    "l_linenumber", "l_quantity", "l_extendedprice",
      "l_discount",    "l_tax",          "l_returnflag", "l_linestatus", "l_shipdate", "l_commitdate",
      "l_receiptdate", "l_shipinstruct", "l_shipmode",   "l_comment"};
  static auto fields(auto& row) {
    return std::tie(row.orderkey, row.partkey, row.suppkey, row.linenumber, row.quantity, row.extendedprice,
                    row.discount, row.tax, row.returnflag, row.linestatus, row.shipdate, row.commitdate,
                    row.receiptdate, row.shipinstruct, row.shipmode, row.comment);
  }
};

struct NationRow {
  SmallKey nationkey;
  Word<WordListId::kNations> name;
  SmallKey regionkey;
  Text<115> comment;

  static constexpr TableId kTable = TableId::kNation;
  static constexpr std::array<std::string_view, 4> kColumns = {"n_nationkey", "n_name", "n_regionkey",
                                                               "n_comment"};
  static auto fields(auto& row) { return std::tie(row.nationkey, row.name, row.regionkey, row.comment); }
};

struct OrdersRow {
  Key orderkey;
  Key custkey;
  Word<WordListId::kOrderStatuses> orderstatus;
  Money totalprice;
  Date orderdate;
  Word<WordListId::kPriorities> orderpriority;
  Text<kNameBytes> clerk;
  Whole<std::int8_t> shippriority;
  Text<78> comment;

  static constexpr TableId kTable = TableId::kOrders;
  static constexpr std::array<std::string_view, 9> kColumns = {
      "o_orderkey",      "o_custkey", "o_orderstatus",  "o_totalprice", "o_orderdate",
      "o_orderpriority", "o_clerk",   "o_shippriority", "o_comment"};
  static auto fields(auto& row) {
    return std::tie(row.orderkey, row.custkey, row.orderstatus, row.totalprice, row.orderdate,
                    row.orderpriority, row.clerk, row.shippriority, row.comment);
  }
};

struct PartRow {
  Key partkey;
  Text<55> name;
  Word<WordListId::kManufacturers> mfgr;
  Word<WordListId::kBrands> brand;
  Word<WordListId::kTypes> type;
  Whole<std::int8_t> size;
  Word<WordListId::kContainers> container;
  Money retailprice;
  Text<22> comment;

  static constexpr TableId kTable = TableId::kPart;
  static constexpr std::array<std::string_view, 9> kColumns = {"p_partkey",   "p_name",        "p_mfgr",
                                                               "p_brand",     "p_type",        "p_size",
                                                               "p_container", "p_retailprice", "p_comment"};
  static auto fields(auto& row) {
    return std::tie(row.partkey, row.name, row.mfgr, row.brand, row.type, row.size, row.container,
                    row.retailprice, row.comment);
  }
};

struct PartsuppRow {
  Key partkey;
  Key suppkey;
  Whole<std::int16_t> availqty;
  Money supplycost;
  Text<198> comment;

  static constexpr TableId kTable = TableId::kPartsupp;
  static constexpr std::array<std::string_view, 5> kColumns = {"ps_partkey", "ps_suppkey", "ps_availqty",
                                                               "ps_supplycost", "ps_comment"};
  static auto fields(auto& row) {
    return std::tie(row.partkey, row.suppkey, row.availqty, row.supplycost, row.comment);
  }
};

struct RegionRow {
  SmallKey regionkey;
  Word<WordListId::kRegions> name;
  Text<115> comment;

  static constexpr TableId kTable = TableId::kRegion;
  static constexpr std::array<std::string_view, 3> kColumns = {"r_regionkey", "r_name", "r_comment"};
  static auto fields(auto& row) { return std::tie(row.regionkey, row.name, row.comment); }
};

struct SupplierRow {
  Key suppkey;
  Text<kNameBytes> name;
  Text<kAddressBytes> address;
  SmallKey nationkey;
  Text<kPhoneBytes> phone;
  Money acctbal;
  Text<100> comment;

  static constexpr TableId kTable = TableId::kSupplier;
  static constexpr std::array<std::string_view, 7> kColumns = {
      "s_suppkey", "s_name", "s_address", "s_nationkey", "s_phone", "s_acctbal", "s_comment"};
  static auto fields(auto& row) {
    return std::tie(row.suppkey, row.name, row.address, row.nationkey, row.phone, row.acctbal, row.comment);
  }
};

/// Calls `body(row, field, index)`-style code over each field: `body(field, column_index)` in column order.
template <typename Row, typename Body>
void for_each_field(Row& row, Body&& body) {
  std::apply(
      [&](auto&... fields) {
        std::size_t column = 0;
        (body(fields, column++), ...);
      },
      std::remove_const_t<Row>::fields(row));
}

/// Calls `body` with a default row of the table, for its type.
template <typename Body>
decltype(auto) with_row_type(TableId table, Body&& body) {
  switch (table) {
    case TableId::kCustomer:
      return body(CustomerRow{});
    case TableId::kLineitem:
      return body(LineitemRow{});
    case TableId::kNation:
      return body(NationRow{});
    case TableId::kOrders:
      return body(OrdersRow{});
    case TableId::kPart:
      return body(PartRow{});
    case TableId::kPartsupp:
      return body(PartsuppRow{});
    case TableId::kRegion:
      return body(RegionRow{});
    case TableId::kSupplier:
      break;
  }
  return body(SupplierRow{});
}

}  // namespace weld::bench::tpch
