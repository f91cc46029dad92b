import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0012_refunds_and_chargebacks")]

    operations = [
        migrations.AlterField(
            model_name="usageallocation",
            name="statement",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="allocations",
                to="billing.statement",
            ),
        ),
    ]
